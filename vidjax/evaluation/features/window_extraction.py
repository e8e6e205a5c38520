"""Compute features over time with a frozen backbone: arrays of every window of each video, in blocks of rows.

The batches of a block contain only the block's own windows, padded with the last one. The bytes of a block therefore
depend neither on other blocks of the call nor on the process that computes it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Generator, Sequence

import jax
import numpy as np

from vidjax.config import DataConfig
from vidjax.data.clips.eval_views import span
from vidjax.data.clips.recipe import Windows
from vidjax.data.sources.base import VideoSource
from vidjax.data.window_clips import WindowBatch, WindowBatches, WindowBatching, WindowedVideo, check_length, open_row
from vidjax.errors import VideoError
from vidjax.evaluation.features.extraction import (
    Backbone,
    Block,
    Extraction,
    OnRow,
    Step,
    check_range,
    clip_recipe_of,
    feature_shapes,
    finite_rows,
    make_step,
    steps_batch,
)
from vidjax.evaluation.features.window_times import WindowTimes
from vidjax.evaluation.multiview import NOT_FINITE, one_late

_VIDEO_BYTES = 2**32  # maximum bytes of one video's features
# Windows per step and CPU device. With 8 instead of 2, a window takes 2.4 times the processor time with a tiny
# VideoMAE, and 1.1 times with a small one.
_WINDOWS_A_CPU = 2
_OPENED = 16  # videos whose length is compared with a window's before anything is written
_FAILED = WindowedVideo(0, np.zeros((0, 2)))


class WindowExtractor:
    """Compute the features of the windows of blocks of rows; the model is compiled once for all calls.

    Args:
      data: gives the number of decoding threads, and how long to wait for a video that cannot be read.
      windows: how windows slide over each video.
    """

    def __init__(
        self, backbone: Backbone, source: VideoSource, data: DataConfig, extraction: Extraction, windows: Windows
    ):
        self._backbone, self._source, self._data, self._extraction = backbone, source, data, extraction
        self._recipe = dataclasses.replace(clip_recipe_of(backbone), windows=windows)
        shapes = feature_shapes(backbone)
        self._shapes = {name: shapes[name] for name in extraction.names}

    @functools.cached_property
    def _step(self) -> Step:
        return make_step(self._backbone, self._extraction)

    def blocks(
        self, blocks: Sequence[range], on_row: OnRow = lambda rows: None
    ) -> Generator[tuple[int, Block], None, None]:
        """Yield the index of each block in `blocks`, and its features, in the order in which blocks are finished.

        Args:
          on_row: called with the number of rows, which may be a fraction, done since the last call.

        Raises:
          ConfigError: if the batch is not a multiple of the devices.
          DataError: if a value is too large for float16; the message names the row.
        """
        if not blocks:
            return
        window_bytes = sum(map(np.prod, self._shapes.values())) * np.dtype(self._extraction.dtype).itemsize
        on_cpu = jax.default_backend() == "cpu"
        usual = _WINDOWS_A_CPU * jax.local_device_count() if on_cpu else 0
        batch = steps_batch(self._extraction.batch or usual)
        batching = WindowBatching(self._recipe, batch, int(_VIDEO_BYTES // window_bytes))
        batches = WindowBatches(self._source, blocks, self._data, batching)
        waiting: dict[int, list[dict]] = {}
        with contextlib.closing(batches):
            for found in one_late(map(self._run, batches)):
                batch, outputs = found["batch"], found["outputs"]
                own = waiting.setdefault(batch.part, [])
                own.append(jax.tree.map(lambda leaf, count=batch.count: leaf[:count], outputs))
                if batch.videos is not None:
                    del waiting[batch.part]
                    yield batch.part, self._block(own, batch.videos, blocks[batch.part])
                on_row(batch.rows)

    def _run(self, batch: WindowBatch) -> dict:
        outputs = self._empty() if batch.clips is None else self._step(batch.clips)
        return {"outputs": outputs, "batch": batch._replace(clips=None)}

    def _empty(self) -> dict[str, dict[str, np.ndarray]]:
        """Make the outputs for no windows."""
        arrays = {name: np.zeros((0, *shape), self._extraction.dtype) for name, shape in self._shapes.items()}
        return {"arrays": arrays, "peaks": {name: np.zeros(0, np.float32) for name in arrays}}

    def _block(self, outputs: list[dict], videos: Sequence[WindowedVideo], rows: range) -> Block:
        """Make the block of some rows: drop the windows of videos that failed, and reject values too large."""
        joined = jax.tree.map(lambda *leaves: np.concatenate(leaves), *outputs)
        row_of = np.repeat(np.arange(len(videos)), [video.windows for video in videos])
        broken = set(row_of[~finite_rows(joined["peaks"])].tolist())
        reasons = [video.reason or (NOT_FINITE if row in broken else "") for row, video in enumerate(videos)]
        there = np.array([not reason for reason in reasons])
        kept = there[row_of]
        check_range(joined["peaks"], kept, [self._source[rows[row]].id for row in row_of], self._extraction.dtype)
        chosen = [video if ok else _FAILED for video, ok in zip(videos, there, strict=True)]
        windows = WindowTimes(
            np.array([video.windows for video in chosen], np.int64),
            np.concatenate([video.times for video in chosen]),
            np.array([video.fps for video in chosen]),
            np.array([video.duration for video in chosen]),
        )
        labels = np.array([self._source[row].label for row in rows], np.int64)
        return Block({name: array[kept] for name, array in joined["arrays"].items()}, labels, tuple(reasons), windows)


def check_windows(source: VideoSource, windows: Windows) -> None:
    """Reject rows without videos, and windows longer than all videos of a sample; decodes nothing.

    Raises:
      ConfigError: for synthetic frames, or if every sampled video is shorter than a window.
    """
    chosen = np.unique(np.linspace(0, len(source) - 1, _OPENED).astype(int)).tolist()
    lengths = []
    for index in chosen:
        row = source[index]
        with contextlib.suppress(VideoError), open_row(row) as video:
            first, count = span(video, row.window)
            lengths.append(float(video.times[first + count] - video.times[first]))
            if lengths[-1] >= windows.length:
                return
    if lengths:
        sampled = "sampled " if len(chosen) < len(source) else ""
        which = source[0].id if len(source) == 1 else f"the longest of {len(lengths)} {sampled}videos"
        check_length(windows, max(lengths), f"{which}, which has")
