"""Attention maps laid over their frames."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import matplotlib
import numpy as np
from jaxtyping import Float, UInt8

from vidjax.files import Place
from vidjax.viz import panels

CAPTION = (
    "Blue: where a map is lowest in the clip; red: where it is highest. Each map has its own scale, which ignores the "
    "lowest and highest hundredth of its cubes."
)
_ENDS = 0.01, 0.99  # quantiles that bound the scale, since a few tokens draw far more attention than all others
_HEIGHT = 144  # approximate height of a frame in pixels; small frames are enlarged, and only the maps are smoothed
_COLOURS = "turbo"
_BELOW, _RISE = 0.15, 0.55  # opacity where a map is lowest, and the amount added where it is highest


def overlay(clip: UInt8[np.ndarray, "t h w 3"], maps: Float[np.ndarray, "u v w2"]) -> Float[np.ndarray, "t h w 3"]:
    """Turn the frames of a clip grey and lay a map over them in the colours that `CAPTION` describes.

    Args:
      clip: RGB frames.
      maps: the map, one value per cube of the model's grid; a cube may span several frames.

    Returns:
      pictures in [0, 1].
    """
    times = np.arange(len(clip)) * len(maps) // len(clip)
    height, width = clip.shape[1:3]
    low, high = np.quantile(maps, _ENDS)
    shares = (maps - low) / (high - low) if high > low else np.zeros_like(maps)
    smooth = [cv2.resize(share.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC) for share in shares]
    share = np.stack(smooth).clip(0, 1)[times]
    colours = matplotlib.colormaps[_COLOURS](share)[..., :3]
    grey = np.stack([cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in clip]) / 255
    cover = (_BELOW + _RISE * share)[..., None]
    return (cover * colours + (1 - cover) * grey[..., None]).astype(np.float32)


def draw_maps(
    clip: UInt8[np.ndarray, "t h w 3"], maps: Mapping[str, Float[np.ndarray, "u v w2"]], folder: str | Place
) -> panels.Files:
    """Write folder/attention.png, .gif and .mp4: a clip, and an `overlay` for each of its maps, by name."""
    factor = max(1, round(_HEIGHT / clip.shape[1]))
    clip = clip.repeat(factor, axis=1).repeat(factor, axis=2)
    pictures = {"input": (clip / 255).astype(np.float32)} | {name: overlay(clip, each) for name, each in maps.items()}
    files = panels.files_of(folder, "attention")
    panels.draw({name: frames[None] for name, frames in pictures.items()}, files, CAPTION)
    return files
