"""The test views of one video file: several clips in time, several crops of each."""

from __future__ import annotations

import os

import numpy as np
from einops import rearrange
from jaxtyping import UInt8

from vidjax.config import DataConfig, EvalConfig
from vidjax.data.augment import eval_crops
from vidjax.data.decode import Video
from vidjax.data.sampling import eval_indices


def protocol_views(
    source: str | os.PathLike | bytes, data: DataConfig, eval: EvalConfig
) -> UInt8[np.ndarray, "v t s s 3"]:
    """Decode the eval.clips x eval.crops views of a video, all crops of the first clip first.

    Args:
      source: a path, or the bytes of a file.
      data: says num_frames, stride, sampling, image_size and interpolation.

    Raises:
      VideoError: when the video cannot be decoded.
    """
    with Video(source) as video:
        wanted, places = np.unique(eval_indices(video.frames, data, eval.clips), return_inverse=True)
        squares = eval_crops(video.read(wanted), data, eval.crops)
    return rearrange(squares[:, places.reshape(eval.clips, -1)], "crop clip t h w c -> (clip crop) t h w c")
