"""Cut long videos into windows, at a fixed stride or a fixed number per video, for sliding inference."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
from jaxtyping import Int64, Integer

from vidjax.data.clips.recipe import ClipRecipe, Windows
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.rows import Row, content_id
from vidjax.data.video.readers import open_video
from vidjax.errors import VideoError


def window_starts(frames: int, span: int, *, every: int = 0, count: int = 1) -> Int64[np.ndarray, " w"]:
    """First frames of the windows of a video: one window every `every` frames, or `count` evenly spaced.

    The last window ends with the video, so that no frame is left out if the stride is at most the length of a window. A
    video shorter than a window has one window, which begins at its start.

    Args:
      frames: number of frames of the video; span: number of frames of a window.
    """
    last = max(frames - span, 0)
    if every:
        return np.unique(np.append(np.arange(0, last + 1, every), last))
    if count == 1:
        return np.array([last // 2])
    return np.unique(np.arange(count) * last // (count - 1))


def windows_of(frames: int, fps: float, recipe: ClipRecipe) -> list[tuple[float, float]]:
    """Start and end in seconds of the windows of a video, as recipe.windows defines them.

    Unless recipe.windows gives their length, windows have the frames that a clip is taken from: num_frames * stride
    frames, for example, or the whole video if clips are spread over it.
    """
    windows = recipe.windows or Windows()
    span = min(frames, max(1, round(windows.length * fps))) if windows.length else recipe.covers(frames, fps)
    every = max(1, round(windows.seconds * fps)) if windows.seconds else 0
    starts = window_starts(frames, span, every=every, count=windows.count)
    return [(start / fps, (start + span) / fps) for start in starts]


class WindowSource(VideoSource):
    """The windows of all rows of another source, video by video.

    A video that cannot be opened has one window, which fails again when it is read and is then counted.

    Attributes:
      video_of: (windows,) the row of the other source that each window belongs to.
      durations: (videos,) seconds; 0 for a video that cannot be opened.
    """

    def __init__(self, source: VideoSource, recipe: ClipRecipe):
        """Open every video to find its length; none is decoded."""
        self.name, self.annotation, self._source = source.name, source.annotation, source
        self.labels, self.num_classes = source.labels, source.num_classes
        self._windows: list[tuple[float, float] | None] = []
        owners, durations, short = [], [], []
        for index in range(len(source)):
            row = source[index]
            frames, fps = _length(row)
            windows = windows_of(frames, fps, recipe) if frames else [None]
            self._windows += windows
            owners += [index] * len(windows)
            durations.append(frames / fps)
            if frames and frames < recipe.span(fps):
                short.append((recipe.span(fps), row.id))
        if short:
            logging.getLogger("vidjax").warning(
                "%d of %d videos are shorter than a window of %d frames, the first of them %s: %s",
                len(short), len(source), *short[0], "they start again" if recipe.loops else "the last frame repeats",
            )  # fmt: skip
        self.video_of, self.durations = np.array(owners), np.array(durations)
        self.content_id = content_id([source.content_id, *self._windows])

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int) -> Row:
        row, window = self._source[int(self.video_of[index])], self._windows[index]
        if window is None:
            return row
        return dataclasses.replace(row, id=f"{row.id} {window[0]:.2f}-{window[1]:.2f} s", window=window)

    def row_labels(self) -> Integer[np.ndarray, " rows"]:
        return self._source.row_labels()[self.video_of]

    def times(self) -> np.ndarray:
        """(windows, 2) start and end in seconds; zeros for a video that cannot be opened."""
        return np.array([window or (0.0, 0.0) for window in self._windows])


def _length(row: Row) -> tuple[int, float]:
    """Frames and rate of a video; no frames if it cannot be opened."""
    if row.video is None:
        return 1, 1.0
    try:
        with open_video(row.video) as video:
            return video.frames, video.fps
    except VideoError:
        return 0, 1.0
