"""The test views of one video file: several clips in time, several crops of each."""

from __future__ import annotations

import numpy as np
from einops import rearrange
from jaxtyping import UInt8

from vidjax.config import DataConfig, EvalConfig
from vidjax.data.clips.augment import eval_crops
from vidjax.data.clips.sampling import eval_indices
from vidjax.data.video.readers import OpenVideo, VideoPlace, open_video


def protocol_views(
    source: VideoPlace,
    data: DataConfig,
    eval: EvalConfig,
    window: tuple[float, float] | None = None,
) -> UInt8[np.ndarray, "v t s s 3"]:
    """Decode the eval.clips x eval.crops views of a video, all crops of the first clip first.

    Args:
      source: a path, the bytes of a file, a folder's frames, or a place in records.
      data: says num_frames, stride, sampling, image_size and interpolation.
      window: seconds (start, end) that the views are taken from; None for the whole video.

    Raises:
      VideoError: when the video cannot be decoded.
    """
    with open_video(source) as video:
        first, count = span(video, window)
        wanted, places = np.unique(first + eval_indices(count, data, eval.clips), return_inverse=True)
        squares = eval_crops(video.read(wanted), data, eval.crops)
    return rearrange(squares[:, places.reshape(eval.clips, -1)], "crop clip t h w c -> (clip crop) t h w c")


def span(video: OpenVideo, window: tuple[float, float] | None) -> tuple[int, int]:
    """First frame and number of frames of a window in seconds, at least one; of the whole video without a window."""
    if window is None:
        return 0, video.frames
    first = min(max(round(window[0] * video.fps), 0), video.frames - 1)
    return first, max(1, min(round(window[1] * video.fps), video.frames) - first)
