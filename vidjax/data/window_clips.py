"""Decode the clips of all windows of many videos in threads, each frame once, and batch them."""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from vidjax.config import DataConfig
from vidjax.data.clips.eval_views import span, window_views
from vidjax.data.clips.recipe import ClipRecipe, Windows
from vidjax.data.machine import free_host_memory, usable_cores
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.rows import Row
from vidjax.data.sources.windows import windows_of
from vidjax.data.video.readers import OpenVideo, open_video
from vidjax.errors import ConfigError, StalledError, VideoError

_MOST_LANES = 16
_MEMORY_SHARE = 4  # batches that are being filled may take 1 / _MEMORY_SHARE of the free memory
_SLACK = 1.001  # a file's length is rounded to its frames
_CLOSING = 5.0  # seconds to wait for threads that are decoding


@dataclasses.dataclass(frozen=True)
class WindowedVideo:
    """The windows of one row.

    Attributes:
      windows: number of its windows in the batches; for a video that fails, only those before the failure.
      times: start and end of each window, in seconds of the video; empty for a video that fails.
      fps: average frames per second; duration: in seconds.
      reason: why it failed, one of `VideoError.REASONS`; empty if it did not.
    """

    windows: int
    times: Float[np.ndarray, "w 2"]
    fps: float = 0.0
    duration: float = 0.0
    reason: str = ""


class WindowBatch(NamedTuple):
    """Clips of consecutive windows, all from the rows of one part.

    Attributes:
      part: index of the part among the requested ones.
      clips: one per window, the last one repeated to fill the batch; None if the part has no more.
      count: number of windows.
      rows: number of rows read since the part's previous batch; a partly read row counts as a fraction.
      videos: one per row of the part, in the part's last batch; None in its other batches.
    """

    part: int
    clips: UInt8[np.ndarray, "b t h w 3"] | None
    count: int
    rows: float
    videos: tuple[WindowedVideo, ...] | None


@dataclasses.dataclass(frozen=True)
class WindowBatching:
    """How windows are taken and batched.

    Attributes:
      recipe: takes one clip of each window of recipe.windows.
      batch: clips per batch.
      most_windows: a video with more fails with the reason too_large; 0 sets no limit.
    """

    recipe: ClipRecipe
    batch: int
    most_windows: int = 0


class WindowBatches:
    """Iterate over the batches of some parts of a source. Parts are read in parallel, each by one thread.

    A batch holds windows of one part, in order, so its content depends neither on the other parts nor on the threads.
    """

    def __init__(self, source: VideoSource, parts: Sequence[range], data: DataConfig, batching: WindowBatching):
        """Start decoding.

        Args:
          parts: row numbers of each part; data: gives the number of threads and the stall limit.
        """
        self._source, self._parts, self._batching = source, parts, batching
        self._stall, self._decoded, self._left = data.stall_seconds, 0, len(parts)
        self._ready: queue.Queue[WindowBatch | Exception] = queue.Queue(2)
        self._todo, self._closing, self._reading = iter(range(len(parts))), threading.Event(), dict[int, Row]()
        cv2.setNumThreads(1)  # otherwise OpenCV starts a pool of threads in each thread
        lanes = min(_lanes(batching, data.threads), len(parts))
        self._threads = [threading.Thread(target=self._read_parts, daemon=True) for _ in range(lanes)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop the threads."""
        self._closing.set()
        until = time.monotonic() + _CLOSING
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def __iter__(self) -> Iterator[WindowBatch]:
        return self

    def __next__(self) -> WindowBatch:
        if not self._left:
            raise StopIteration
        batch = self._take()
        if isinstance(batch, Exception):
            raise batch
        self._left -= batch.videos is not None
        return batch

    def _take(self) -> WindowBatch | Exception:
        """Wait for the next batch; count seconds one by one, so that time spent suspended does not count."""
        decoded, waited = self._decoded, 0
        while True:
            try:
                return self._ready.get(timeout=1.0)
            except queue.Empty:
                decoded, waited = self._decoded, waited + 1 if self._decoded == decoded else 0
            if 0 < self._stall <= waited:
                names = ", ".join(row.id for row in list(self._reading.values()))
                raise StalledError(
                    f"no window has been decoded for {self._stall:g} s (data.stall_seconds); being read: {names}. "
                    "Check whether these can be read; the same command resumes"
                )

    def _read_parts(self) -> None:
        """Read parts until none is left."""
        try:
            while not self._closing.is_set() and (part := next(self._todo, None)) is not None:
                for batch in self._batches_of(part):
                    if not self._offer(batch):
                        return
        except Exception as error:  # re-raised where the batch is taken
            self._offer(error)

    def _offer(self, found: WindowBatch | Exception) -> bool:
        while not self._closing.is_set():
            try:
                self._ready.put(found, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def _batches_of(self, part: int) -> Iterator[WindowBatch]:
        """Yield the batches of a part."""
        rows, videos, told = self._parts[part], list[WindowedVideo](), 0.0
        clips, count = None, 0
        for done, index in enumerate(rows):
            self._reading[threading.get_ident()] = row = self._source[index]
            reading = _Reading(row, self._batching)
            for clip in reading:
                if count == self._batching.batch:
                    yield WindowBatch(part, clips, count, done + reading.share - told, None)
                    told, clips, count = done + reading.share, None, 0
                if clips is None:
                    clips = np.empty((self._batching.batch, *clip.shape), np.uint8)
                clips[count], count = clip, count + 1
                self._decoded += 1
                if self._closing.is_set():
                    return
            videos.append(reading.video)
        if clips is not None:
            clips[count:] = clips[count - 1]
        yield WindowBatch(part, clips, count, len(rows) - told, tuple(videos))


class _Reading:
    """Iterate over the clips of one row's windows.

    Attributes:
      share: the fraction of the row's windows that were read before the latest one.
      video: the row's `WindowedVideo`, once all its windows are read or one has failed.
    """

    def __init__(self, row: Row, batching: WindowBatching):
        self._row, self._batching, self.share = row, batching, 0.0

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "t h w 3"]]:
        recipe, read = self._batching.recipe, 0
        try:
            with open_row(self._row) as video:
                windows, times = windows_in(video, self._row.window, recipe)
                if 0 < self._batching.most_windows < len(windows):
                    raise VideoError("too_large", "the features of its windows would not fit into memory")
                for read, [clip] in enumerate(window_views(video, recipe, windows), 1):
                    self.share = (read - 1) / len(windows)
                    yield clip
                self.video = WindowedVideo(read, times, video.fps, float(video.times[-1]))
        except VideoError as error:
            self.video = WindowedVideo(read, np.zeros((0, 2)), reason=error.reason)


def open_row(row: Row) -> OpenVideo:
    """Open the video of a row.

    Raises:
      VideoError: if it cannot be opened.
      ConfigError: for synthetic frames.
    """
    if row.video is None:
        raise ConfigError(f"{row.id} has synthetic frames, over which no windows slide; give videos")
    return open_video(row.video)


def windows_in(
    video: OpenVideo, part: tuple[float, float] | None, recipe: ClipRecipe
) -> tuple[list[tuple[float, float]], Float[np.ndarray, "w 2"]]:
    """Slide windows over a part of a video, or all of it.

    Returns:
      the windows as `window_views` takes them, and their start and end as a player shows the video.
    """
    first, count = span(video, part)
    times = video.times[first : first + count + 1]
    windows, seconds = windows_of(times - times[0], video.fps, recipe)
    offset = first / video.fps
    return [(start + offset, end + offset) for start, end in windows], times[0] + seconds


def check_length(windows: Windows | None, seconds: float, which: str) -> None:
    """Reject windows that are longer than the longest video by more than a thousandth.

    Args:
      which: names the longest video, and ends with "which has".

    Raises:
      ConfigError: with both lengths.
    """
    if windows and windows.length > seconds * _SLACK:
        raise ConfigError(
            f"a window of {windows.length:g} s is longer than {which} {seconds:.4g} s; ask for a shorter window, or "
            "for one feature per video"
        )


def _lanes(batching: WindowBatching, threads: int) -> int:
    """Choose how many parts are read at once: each fills one batch, and another batch may wait for its turn."""
    recipe = batching.recipe
    batch_bytes = 3 * batching.batch * recipe.num_frames * recipe.frame_size[0] * recipe.frame_size[1]
    memory = free_host_memory()
    most = _MOST_LANES if memory is None else memory // _MEMORY_SHARE // (2 * batch_bytes)
    return max(1, min(threads, usable_cores(), _MOST_LANES, most))
