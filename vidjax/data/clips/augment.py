"""Spatial augmentation of whole clips, uint8 to uint8: every frame of a clip gets the same draw.

The order is that of VideoMAE fine-tuning: RandAugment on whole frames, crop and resize, flip. Scenic's RandAugment,
colours, and the order of the channels come last. Erasing, mixup and normalisation happen on the device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Num, UInt8

from vidjax.config import DataConfig
from vidjax.data.clips.color import color_augment
from vidjax.data.clips.randaugment import draw_operations, parse_rand_augment, rand_augment
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.clips.resize import resize
from vidjax.data.clips.scenic_augment import scenic_rand_augment
from vidjax.errors import ConfigError


def augment(
    frames: UInt8[np.ndarray, "t h w c"],
    data: DataConfig,
    rng: np.random.Generator,
    out: UInt8[np.ndarray, "t s s c"] | None = None,
) -> UInt8[np.ndarray, "t s s c"]:
    """Make a training clip: RandAugment, crop and resize to data.image_size, flip, colours; one draw for all frames.

    RandAugment precedes the crop; its variant "scenic" follows the flip.

    Args:
      out: where to write the clip, for instance a part of a batch; a new array if None.
    """
    variant = parse_rand_augment(data.rand_augment).variant if data.rand_augment else ""
    draws = draw_operations(data.rand_augment, rng) if variant == "rand" else []
    top, left, height, width = box = CROPS[data.crop](*frames.shape[1:3], data, rng)
    if draws:
        frames = rand_augment(frames, draws, box, data.rand_augment_interpolation)
    else:
        frames = frames[:, top : top + height, left : left + width]
    clip = resize(frames, (data.image_size, data.image_size), data.interpolation, out)
    if data.flip and rng.random() < data.flip:
        for frame in clip:
            cv2.flip(frame, 1, dst=frame)
    if variant == "scenic":
        clip[:] = scenic_rand_augment(clip, data.rand_augment, rng)
    color_augment(clip, data, rng)
    if data.channels == "bgr":
        clip[:] = clip[..., ::-1].copy()
    return clip


def check_crop(data: DataConfig) -> None:
    """Reject a range of short sides that is reversed, or that begins below data.image_size.

    Raises:
      ConfigError: naming the short side and the image size.
    """
    ends = data.short_side
    if data.crop.startswith("short_side") and not (len(ends) == 2 and data.image_size <= ends[0] <= ends[1]):
        raise ConfigError(
            f"data.short_side={ends} must be (low, high) with image_size={data.image_size} <= low <= high"
        )


def eval_crops(frames: Num[np.ndarray, "t h w c"], recipe: ClipRecipe) -> Num[np.ndarray, "crops t h2 w2 c"]:
    """Resize to just cover recipe.frame_size, then take recipe.crops evenly spaced crops; a single crop is central.

    If recipe.frame_size is square, the short side is resized to it and the crops lie along the long side. Channels are
    in the order of recipe.channels.

    Args:
      frames: uint8 or float32.
    """
    size, corners = eval_places(frames.shape[1:3], recipe)
    frames, (height, width) = resize(frames, size, recipe.interpolation), recipe.frame_size
    crops = np.stack([frames[:, top : top + height, left : left + width] for top, left in corners])
    return crops[..., ::-1] if recipe.channels == "bgr" else crops


def eval_places(frame_size: Sequence[int], recipe: ClipRecipe) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """The (height, width) that frames are resized to, and the (top, left) corners of the crops of `eval_crops`."""
    (height, width), (frame_height, frame_width), crops = recipe.frame_size, frame_size, recipe.crops
    tall = frame_height * width > frame_width * height  # taller than the model's frames, so the width must fit
    if tall:
        size = max(height, width * frame_height // frame_width), width
    else:
        size = height, max(width, height * frame_width // frame_height)
    room = size[0] - height if tall else size[1] - width
    starts = [crop * room // (crops - 1) for crop in range(crops)] if crops > 1 else [round(room / 2)]
    return size, [(start, 0) if tall else (0, start) for start in starts]


def _multi_scale(height: int, width: int, data: DataConfig, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Draw one of TSN's corner crops, at one of 13 fixed places on a grid of quarters.

    Each side is the frame's short side times one of crop_scales; the two scales are the same or adjacent in the list.
    A side within two pixels of image_size becomes image_size.
    """
    sides = [int(min(height, width) * scale) for scale in data.crop_scales]
    sides = [data.image_size if abs(side - data.image_size) < 3 else side for side in sides]
    pairs = [(h, w) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= 1]
    crop_height, crop_width = pairs[rng.integers(len(pairs))]
    crop_height, crop_width = min(crop_height, height), min(crop_width, width)
    down, right = _QUARTERS[rng.integers(len(_QUARTERS))]
    return (height - crop_height) // 4 * down, (width - crop_width) // 4 * right, crop_height, crop_width


def _random_resized(height: int, width: int, data: DataConfig, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Draw a place, an area and a log-uniform aspect.

    If ten draws do not fit, return the largest central crop whose aspect is in range.
    """
    (low, high), (smallest, largest) = data.crop_aspect, data.crop_area
    for _ in range(10):
        area = height * width * rng.uniform(smallest, largest)
        aspect = math.exp(rng.uniform(math.log(low), math.log(high)))
        crop_height, crop_width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < crop_height <= height and 0 < crop_width <= width:
            top, left = rng.integers(height - crop_height + 1), rng.integers(width - crop_width + 1)
            return int(top), int(left), crop_height, crop_width
    aspect = min(max(width / height, low), high)
    crop_height, crop_width = min(height, round(width / aspect)), min(width, round(height * aspect))
    return (height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width


def _short_side(height: int, width: int, data: DataConfig, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """A square of image_size pixels from the frame after its short side is resized to a random length."""
    shortest, longest = data.short_side
    return _cut(height, width, data.image_size, round(rng.uniform(shortest, longest)), rng)


def _short_side_inverse(height, width, data: DataConfig, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """As `_short_side`, but 1 / length is drawn uniformly: TimeSformer's INV_UNIFORM_SAMPLE (transform.py:32)."""
    shortest, longest = data.short_side
    return _cut(height, width, data.image_size, round(1 / rng.uniform(1 / longest, 1 / shortest)), rng)


def _cut(height: int, width: int, size: int, short: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """A square anywhere in the frame, `size` pixels wide once the frame's short side is resized to `short`."""
    side = min(round(size * min(height, width) / short), height, width)
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    return int(top), int(left), side, side


def _center(height: int, width: int, data: DataConfig, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """The largest central square."""
    del data, rng
    short = min(height, width)
    return (height - short) // 2, (width - short) // 2, short, short


# The choices of data.crop: each returns a crop of a frame as (top, left, height, width).
CROPS = {
    "multi_scale": _multi_scale,
    "random_resized": _random_resized,
    "short_side": _short_side,
    "short_side_inverse": _short_side_inverse,
    "center": _center,
}
# (down, right) in quarters of the free space: corners and centre, middles of the edges, centres of the quadrants
_QUARTERS = (
    *((0, 0), (0, 4), (4, 0), (4, 4), (2, 2)),
    *((2, 0), (2, 4), (4, 2), (0, 2)),
    *((1, 1), (1, 3), (3, 1), (3, 3)),
)
