"""Cut long videos into windows, at a fixed stride or a fixed number per video, for sliding inference."""

from __future__ import annotations

import dataclasses
import logging
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from vidjax.data.clips.by_time import ROUNDING, half_a_frame, shown_at
from vidjax.data.clips.recipe import ClipRecipe, Windows
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.rows import Row, content_id
from vidjax.data.video.readers import open_video
from vidjax.errors import VideoError


class Slid(NamedTuple):
    """The windows of a video.

    Attributes:
      windows: (first frame / fps, frame after the last / fps) of each window, in the form that
        `vidjax.data.clips.eval_views.span` expects.
      seconds: the times at which a player shows the start and the end of each window.
    """

    windows: list[tuple[float, float]]
    seconds: Float[np.ndarray, "w 2"]


def windows_of(times: Float[np.ndarray, " frames+1"], fps: float, recipe: ClipRecipe) -> Slid:
    """Slide the windows that recipe.windows defines over a video.

    If recipe.windows.seconds is above 0, a window begins at each of its multiples, with the frame shown at that time.
    The last window ends with the video, so that no frame is left out if the stride is at most the length of a window.
    Consecutive windows that show the same frames, as in a still picture, are merged. If recipe.windows.seconds is 0,
    recipe.windows.count windows are evenly spaced.

    Unless recipe.windows sets their length, windows are as long as the part of the video from which a clip is taken:
    for example num_frames * stride frames, or num_frames / recipe.fps seconds, or the whole video if clips are spread
    over it. A video shorter than a window is one window.

    Args:
      times: seconds at which each frame is shown, and at which the last one ends.
      fps: average frames per second.
    """
    windows, frames = recipe.windows or Windows(), len(times) - 1
    half, length = half_a_frame(times, fps), windows.length or recipe.seconds
    span = 0 if length else recipe.covers(frames, fps)
    latest = max(times[-1] - length, 0.0) if length else times[frames - span]
    if windows.seconds:
        due = np.arange(0, latest + half, windows.seconds)
        due = np.append(due[due <= latest - half], latest)
    elif length:
        due = np.linspace(0, latest, windows.count) if windows.count > 1 else np.array([latest / 2])
    elif windows.count == 1:
        due = times[[(frames - span) // 2]]
    else:
        due = times[np.unique(np.arange(windows.count) * (frames - span) // (windows.count - 1))]
    firsts = shown_at(due, times, half)
    starts = np.where(np.abs(times[firsts] - due) <= half, times[firsts], due)
    if length:
        over = starts + length
        stops = np.maximum(_over_by(over, times, half), firsts + 1)
        if windows.seconds:
            stops[-1] = frames
        ends = np.where(np.abs(over - times[stops]) <= half, times[stops], np.minimum(over, times[-1]))
    else:
        stops = firsts + span
        ends = times[stops]
    return _merged(np.stack([firsts, stops], axis=1), np.stack([starts, ends], axis=1), fps)


def _merged(frames: Integer[np.ndarray, "w 2"], seconds: Float[np.ndarray, "w 2"], fps: float) -> Slid:
    """Join consecutive windows with the same frames: such a window lasts from the first start to the last end."""
    new = np.append(True, (frames[1:] != frames[:-1]).any(axis=1))
    last = np.append(new[1:], True)
    joined = np.stack([seconds[new, 0], seconds[last, 1]], axis=1)
    return Slid([(first / fps, stop / fps) for first, stop in frames[new].tolist()], joined.round(6))


def _over_by(
    seconds: Float[np.ndarray, " n"], times: Float[np.ndarray, " frames+1"], half: float
) -> Integer[np.ndarray, " n"]:
    """Count the frames that began before each moment.

    The last of them does not count if the moment is nearer to its start than to its end, and at most `half` seconds
    after its start.
    """
    shown = np.searchsorted(times[:-1], seconds - ROUNDING) - 1
    since, until = seconds - times[shown], times[shown + 1] - seconds
    begun = (since < until - ROUNDING) & (since <= half)
    return shown + 1 - begun


class WindowSource(VideoSource):
    """The windows of all rows of another source, video by video.

    A video that cannot be opened has one window. Reading that window fails again, and the failure is counted.

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
            times, fps = _times(row)
            frames = len(times) - 1
            windows = windows_of(times, fps, recipe).windows if frames else [None]
            self._windows += windows
            owners += [index] * len(windows)
            durations.append(frames / fps)
            if frames and frames < recipe.span(fps):
                short.append((recipe.span(fps), row.id))
        if short:
            logging.getLogger("vidjax").warning(
                "%d of %d videos are shorter than the %d frames that a clip spans, the first of them %s: %s",
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


def _times(row: Row) -> tuple[Float[np.ndarray, " frames+1"], float]:
    """When the frames of a video are shown, and their rate; no frames if it cannot be opened."""
    if row.video is None:
        return np.arange(2.0), 1.0
    try:
        with open_video(row.video) as video:
            return video.times, video.fps
    except VideoError:
        return np.zeros(1), 1.0
