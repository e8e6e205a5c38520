"""Pick frames by the time at which they are shown, for clips at a given frame rate (`data.fps`)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64, Integer

Times = Float[np.ndarray, " frames+1"]
ROUNDING = 1e-6  # seconds


class Ticks(NamedTuple):
    """A video sampled at evenly spaced moments: about one per frame, or more in a video slower than the clip.

    Attributes:
      frames: the frame shown at each moment.
      stride: number of moments from one frame of a clip to the next.
    """

    frames: Int64[np.ndarray, " ticks"]
    stride: int


def ticks(num_video_frames: int, fps: float, clip_fps: float, times: Times | None = None) -> Ticks:
    """Divide a video, or a window in it, into moments; every `stride`-th of them gives `clip_fps` frames per second.

    A video at a constant rate that is a whole multiple of `clip_fps` has exactly one moment per frame.

    Args:
      fps: average frames per second.
      clip_fps: frames per second of a clip.
      times: seconds at which each frame is shown, and at which the last one ends; None for a constant rate.
    """
    times = np.arange(num_video_frames + 1) / fps if times is None else times
    stride = max(1, round(fps / clip_fps))
    rate = stride * clip_fps
    count = max(1, round(float(times[-1] - times[0]) * rate))
    return Ticks(shown_at(times[0] + np.arange(count) / rate, times, half_a_frame(times, fps)).astype(np.int64), stride)


def half_a_frame(times: Times, fps: float) -> float:
    """Half the time for which a typical frame is shown; individual frames may be shown for much longer."""
    return min(1 / fps, float(np.median(np.diff(times)))) / 2 + ROUNDING


def shown_at(seconds: Float[np.ndarray, " n"], times: Times, half: float) -> Integer[np.ndarray, " n"]:
    """Return the frame shown at each moment, or the next one if it is nearer in time and at most `half` away.

    Args:
      half: see `half_a_frame`.
    """
    shown = np.searchsorted(times[:-1], seconds + ROUNDING, "right") - 1
    since, until = seconds - times[shown], times[shown + 1] - seconds
    later = (until < since - ROUNDING) & (until <= half)
    return np.minimum(shown + later, len(times) - 2)
