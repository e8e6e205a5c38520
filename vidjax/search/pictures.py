"""The pictures of a moment: evenly spaced frames from a part of a video, small enough for a page."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import UInt8

from vidjax.data.video.readers import open_video
from vidjax.errors import VideoError

_FRAMES, _RATE = 24, 12.0  # maximum frames per moment, and per second
_SIDE = 240  # maximum long side, in pixels


def moment_pictures(video: str, start: float, end: float) -> tuple[UInt8[np.ndarray, "t h w 3"], float]:
    """Read the pictures of a part of a video.

    Returns:
      up to 24 frames, and the frame rate at which they last as long as the part; no frames if the video cannot be read.
    """
    try:
        with open_video(video) as opened:
            seconds = max(min(end, float(opened.times[-1])) - start, 1e-3)
            count = int(max(2, min(_FRAMES, round(seconds * _RATE))))
            wanted = start + (np.arange(count) + 0.5) * seconds / count
            numbers = np.clip(np.searchsorted(opened.times, wanted, "right") - 1, 0, opened.frames - 1)
            frames = dict(opened.iterate(np.unique(numbers).tolist()))
            return np.stack([_small(frames[number]) for number in numbers.tolist()]), count / seconds
    except VideoError:
        return np.zeros((0, 1, 1, 3), np.uint8), 1.0


def _small(frame: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    height, width = frame.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    size = max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
