"""The test views of one video or of windows in it: several clips in time, several crops of each."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence

import numpy as np
from einops import rearrange
from jaxtyping import UInt8

from vidjax.data.clips.augment import eval_crops
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.clips.sampling import eval_indices
from vidjax.data.sources.annotations import Seconds
from vidjax.data.video.readers import OpenVideo, VideoPlace, open_video
from vidjax.errors import VideoError


def protocol_views(source: VideoPlace, recipe: ClipRecipe, window: Seconds = None) -> UInt8[np.ndarray, "v t h w 3"]:
    """Decode the recipe.clips x recipe.crops views of a video, all crops of the first clip first.

    Args:
      source: a path, the bytes of a file, a folder of frames, or a place in records.
      window: the part of the video that the views are taken from; None for all of it.

    Raises:
      VideoError: when the video cannot be decoded.
    """
    with open_video(source) as video:
        [views] = window_views(video, recipe, [window])
    return views


def window_views(
    video: OpenVideo, recipe: ClipRecipe, windows: Sequence[Seconds]
) -> Iterator[UInt8[np.ndarray, "v t h w 3"]]:
    """Yield the views of each window, as `protocol_views` returns them, from one opened video.

    Each frame is decoded and resized once, however many windows it is in, and kept for as long as one of them needs it.

    Raises:
      VideoError: when the video cannot be decoded.
    """
    spans = (span(video, window) for window in windows)
    numbers = [
        first + eval_indices(count, video.fps, recipe, video.times[first : first + count + 1] if recipe.fps else None)
        for first, count in spans
    ]
    last_use = {int(number): place for place, clips in enumerate(numbers) for number in clips.flat}
    kept: dict[int, UInt8[np.ndarray, "crop h w 3"]] = {}
    with contextlib.closing(_crops(video, recipe, sorted(last_use), together=len(numbers) == 1)) as crops:
        for place, clips in enumerate(numbers):
            wanted = np.unique(clips).tolist()
            while not all(number in kept for number in wanted):
                number, frame = next(crops)
                kept[number] = frame
            frames = np.stack([kept[number] for number in clips.flat], axis=1)
            yield rearrange(frames, "crop (clip t) h w c -> (clip crop) t h w c", t=clips.shape[1])
            for number in wanted:
                if last_use[number] == place:
                    del kept[number]


def _crops(
    video: OpenVideo, recipe: ClipRecipe, wanted: Sequence[int], *, together: bool
) -> Generator[tuple[int, UInt8[np.ndarray, "crop h w 3"]]]:
    """Yield the number and the crops of each wanted frame. Decode all frames first (`together`), or one at a time."""
    if together:
        yield from zip(wanted, np.moveaxis(eval_crops(video.read(wanted), recipe), 1, 0), strict=True)
        return
    for number, frame in video.iterate(wanted):
        yield number, eval_crops(frame[None], recipe)[:, 0]


def too_short(name: str, video: OpenVideo, recipe: ClipRecipe) -> str:
    """A warning if a clip is longer than the video, so that frames repeat; otherwise empty.

    Raises:
      VideoError: when the video is a single picture.
    """
    if video.frames == 1:
        raise VideoError("not_video", f"{name} is a single picture; give a video")
    if video.frames >= (needed := recipe.span(video.fps)):
        return ""
    repeated = "the video starts again" if recipe.loops else "its last frame is repeated"
    return f"{name} has {video.frames} frames, but a clip spans {needed}; {repeated}"


def span(video: OpenVideo, window: Seconds) -> tuple[int, int]:
    """First frame and number of frames (at least 1) of a window in seconds; without a window, of the whole video."""
    if window is None:
        return 0, video.frames
    first = min(max(round(window[0] * video.fps), 0), video.frames - 1)
    return first, max(1, min(round(window[1] * video.fps), video.frames) - first)
