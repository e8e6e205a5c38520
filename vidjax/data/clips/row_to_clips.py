"""Turn one data-set row into the arrays of a batch: decode, sample, augment, and replace a video that fails."""

from __future__ import annotations

import functools

import grain
import numpy as np
from jaxtyping import Int64, UInt8

from vidjax.config import DataConfig
from vidjax.data.clips.augment import augment
from vidjax.data.clips.checks import check_clips
from vidjax.data.clips.eval_views import protocol_views, span
from vidjax.data.clips.patchify import cut
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.clips.sampling import train_indices
from vidjax.data.clips.ssl_views import load_views
from vidjax.data.sources.annotations import Seconds, batch_arrays, is_of_clip
from vidjax.data.sources.base import Rows, VideoSource
from vidjax.data.sources.mixture import Mixture
from vidjax.data.sources.rows import Row
from vidjax.data.sources.synthetic import noise
from vidjax.data.video.frame_cache import FrameCache
from vidjax.data.video.readers import open_video
from vidjax.errors import DataError, VideoError

SUBSTITUTES = 8  # rows tried in place of one that fails


class LoadTrain(grain.transforms.RandomMap):
    """Load the clips or views of one row or, if it cannot be decoded, of a substitute."""

    def __init__(self, source: VideoSource, data: DataConfig, cache: FrameCache | None = None):
        self._source, self._data = source, data
        self._open = cache.open if cache else functools.partial(open_video, open_ended=data.open_ended)
        check_clips(data)

    def random_map(self, element: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        index, failures = element, list[tuple[int, VideoError]]()
        row = self._source[index]
        while True:
            try:
                videos, seen = self._videos(row, rng)
                break
            except VideoError as error:
                failures.append((index, error))
            if len(failures) > SUBSTITUTES:
                raise DataError(f"{len(failures)} videos in a row cannot be decoded; last error: {failures[-1][1]}")
            index = self._substitute(element, row.label, [failed for failed, _ in failures], rng)
            row = self._source[index]
        source, repeats = self._source, self._data.clips_per_decode
        annotated = batch_arrays(source.annotation, row, seen, source.num_classes, repeats, rng)
        if self._data.mixture and isinstance(source, Mixture):
            annotated["source"] = np.full(repeats, source.number_of(index), np.int32)
        return {**videos, **annotated, **self._account(index, row.label, failures)}

    def _videos(self, row: Row, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], Seconds]:
        """The views or the clips of a row, and the seconds of the video that the clips were taken from."""
        if self._data.views:
            return load_views(row, self._data, rng, self._open), None
        clips, seen = self._clips(row, rng)
        return {"video": cut(clips, *self._data.cubes) if self._data.cubes else clips}, seen

    def _clips(self, row: Row, rng: np.random.Generator) -> tuple[UInt8[np.ndarray, "r t s s c"], Seconds]:
        data = self._data
        if row.video is None:
            size = (data.image_size, data.image_size)
            return np.stack([noise(data.num_frames, size, rng) for _ in range(data.clips_per_decode)]), None
        with self._open(row.video) as video:
            first, count = span(video, row.window)
            times = video.times[first : first + count + 1] if data.fps else None
            indices = first + train_indices(count, video.fps, data, rng, times)
            frames = video.read(indices)
            of_clip = is_of_clip(self._source.annotation)
            seen = (indices[0] / video.fps, (indices[-1] + 1) / video.fps) if of_clip else None
        size = (data.image_size, data.image_size)
        clips = np.empty((data.clips_per_decode, data.num_frames, *size, 3), np.uint8)
        for clip in clips:
            for shown, segment in zip(*(np.split(part, data.segments) for part in (frames, clip)), strict=True):
                augment(shown, data, rng, out=segment)  # each segment has its own crop and colours
        return clips, seen

    def _substitute(self, index: int, label: int, failed: list[int], rng: np.random.Generator) -> int:
        """A row of the same class that has not failed yet, or of any class if none is left."""
        for similar in self._source.substitutes(index, label):
            if len(rows := _without(similar, failed)):
                return int(rng.choice(rows))
        raise DataError(f"none of the {len(self._source)} videos can be decoded")

    def _account(self, index: int, label: int, failures: list[tuple[int, VideoError]]) -> dict[str, np.ndarray]:
        """Arrays that every batch has: the label, the row used, and the rows that failed before it."""
        repeats = self._data.clips_per_decode
        failed = np.full((repeats, SUBSTITUTES), -1, np.int32)
        reasons = np.full((repeats, SUBSTITUTES), -1, np.int8)
        for place, (row, error) in enumerate(failures):
            failed[0, place], reasons[0, place] = row, VideoError.REASONS.index(error.reason)
        return {
            "label": np.full(repeats, label, np.int32),
            "valid": np.ones(repeats, bool),
            "index": np.full(repeats, index, np.int64),
            "failed": failed,
            "failed_reason": reasons,
        }


def _without(rows: Int64[np.ndarray, " n"], failed: list[int]) -> Int64[np.ndarray, " k"]:
    """The rows except the failed ones, found without sorting all rows."""
    return np.delete(rows, np.flatnonzero(np.isin(rows, failed)))


class LoadEval(grain.transforms.Map):
    """Load the views of one row; zeros for padding and for a video that fails."""

    def __init__(self, source: Rows, recipe: ClipRecipe):
        self._source, self._recipe = source, recipe

    def map(self, element: int) -> dict[str, np.ndarray | np.generic]:
        recipe, label, reason, video = self._recipe, 0, -1, None
        valid = element < len(self._source)
        if valid:
            row = self._source[element]
            label = row.label
            try:
                video = self._views(row)
            except VideoError as error:
                reason = VideoError.REASONS.index(error.reason)
        if video is None:
            video = np.zeros((recipe.views, recipe.num_frames, *recipe.frame_size, 3), np.uint8)
        return {
            "video": video,
            "label": np.int32(label),
            "valid": np.bool_(valid),
            "decoded": np.bool_(valid and reason < 0),
            "index": np.int64(element if valid else -1),
            "failed_reason": np.int8(reason),
        }

    def _views(self, row: Row) -> UInt8[np.ndarray, "v t h w c"]:
        recipe = self._recipe
        if row.video is None:
            rng = np.random.default_rng(row.label)
            return np.stack([noise(recipe.num_frames, recipe.frame_size, rng) for _ in range(recipe.views)])
        return protocol_views(row.video, recipe, row.window)
