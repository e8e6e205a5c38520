"""RandAugment as ViViT's authors use it on Something-Something: eleven operations on finished clips, none geometric.

A specification such as `scenic-m20-n2` means magnitude 20, on a scale from 0 to 10 that may be exceeded, and two
operations. Each is always applied. The frames of a clip are stacked vertically, so that statistics are those of the
whole clip.

Source: `distort_image_with_randaugment` of scenic's `dataset_lib/video_ops.py`, with the operations of TensorFlow's
`official/vision/image_classification/augment.py`. Apparent mistakes are kept, since the published model was trained
with them: see `_contrast` and, from magnitude 10 on, `_solarize`.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from vidjax.data.clips.randaugment import parse_rand_augment

_ONE = 10.0  # the magnitude of strength 1
_CUTOUT = 40  # pixels from the centre of the hole to its sides at strength 1
_LUMA = np.array([0.2989, 0.587, 0.114], np.float32)
_VALUES = np.arange(256)
Stack = UInt8[np.ndarray, "t*h w 3"]


def scenic_rand_augment(
    clip: UInt8[np.ndarray, "t h w 3"], spec: str, rng: np.random.Generator
) -> UInt8[np.ndarray, "t h w 3"]:
    """Apply operations drawn from `OPERATIONS`, Cutout and the identity; one draw for all frames.

    Args:
      spec: as for `parse_rand_augment`, of the variant "scenic".
    """
    parsed, names = parse_rand_augment(spec), (*OPERATIONS, "cutout", "none")
    for place in rng.integers(len(names), size=parsed.num_ops):
        strength = parsed.magnitude / _ONE
        if names[place] == "cutout":
            clip = cutout(clip, int(_CUTOUT * strength), rng)
        elif names[place] != "none":
            stack = OPERATIONS[names[place]](clip.reshape(-1, *clip.shape[2:]), strength)
            clip = stack.reshape(clip.shape)
    return clip


def cutout(clip: UInt8[np.ndarray, "t h w 3"], pad: int, rng: np.random.Generator) -> UInt8[np.ndarray, "t h w 3"]:
    """Black out a square with sides of 2 * pad pixels around a random centre in all frames, clipped to the frame."""
    row, column = (int(rng.integers(side)) for side in clip.shape[1:3])
    clip = clip.copy()
    clip[:, max(row - pad, 0) : row + pad, max(column - pad, 0) : column + pad] = 0
    return clip


def _map(stack: Stack, values: Float[np.ndarray, "256 ..."]) -> Stack:
    """Replace each value using a table, one for all channels or one per channel."""
    table = np.broadcast_to(values.reshape(1, 256, -1), (1, 256, 3))
    return cv2.LUT(stack, np.ascontiguousarray(table).astype(np.uint8))


def _blend(base: np.ndarray, values: np.ndarray, factor: float) -> np.ndarray:
    """Blend from `base` towards `values`, rounding down; a factor above 1 extrapolates."""
    base, values = base.astype(np.float32), values.astype(np.float32)
    return (base + np.float32(factor) * (values - base)).clip(0, 255).astype(np.uint8)


def _factor(strength: float) -> float:
    return 1.8 * strength + 0.1


def _auto_contrast(stack: Stack, strength: float) -> Stack:
    tables = []
    for channel in range(3):
        low, high = (np.float32(end(stack[..., channel])) for end in (np.min, np.max))
        scale = np.float32(255) / (high - low) if high > low else np.float32(1)
        tables.append((_VALUES.astype(np.float32) * scale - (low * scale if high > low else 0)).clip(0, 255))
    return _map(stack, np.stack(tables, -1))


def _equalize(stack: Stack, strength: float) -> Stack:
    tables = []
    for channel in range(3):
        counts = np.bincount(stack[..., channel].ravel(), minlength=256)
        step = (counts.sum() - counts[counts > 0][-1]) // 255
        if step:
            ranks = (np.cumsum(counts) + step // 2) // step
            tables.append(np.concatenate([[0], ranks[:-1]]).clip(0, 255))
        else:
            tables.append(_VALUES)
    return _map(stack, np.stack(tables, -1))


def _invert(stack: Stack, strength: float) -> Stack:
    return 255 - stack


def _posterize(stack: Stack, strength: float) -> Stack:
    """Keep the top 4 * strength bits, at least one; at strength 2, all eight."""
    drop = min(8 - int(4 * strength), 7)
    return _map(stack, _VALUES >> drop << drop)


def _solarize(stack: Stack, strength: float) -> Stack:
    """Invert values at or above a threshold, which wraps around at 256: strengths 1 and 2 invert everything."""
    return _map(stack, np.where(int(256 * strength) % 256 > _VALUES, _VALUES, 255 - _VALUES))


def _solarize_add(stack: Stack, strength: float) -> Stack:
    return _map(stack, np.where(_VALUES < 128, np.minimum(_VALUES + int(110 * strength), 255), _VALUES))


def _color(stack: Stack, strength: float) -> Stack:
    grey = (stack * np.float32(1 / 255)) @ _LUMA * np.float32(255.5)
    return _blend(grey.astype(np.uint8)[..., None], stack, _factor(strength))


def _contrast(stack: Stack, strength: float) -> Stack:
    """Blend with a grey meant to be the mean, but computed as the number of pixels / 256: white, for real clips."""
    grey = np.full(1, min(stack.shape[0] * stack.shape[1] / 256, 255), np.uint8)
    return _map(stack, _blend(grey, _VALUES, _factor(strength)))


def _brightness(stack: Stack, strength: float) -> Stack:
    return _map(stack, _blend(np.zeros(1), _VALUES, _factor(strength)))


def _sharpness(stack: Stack, strength: float) -> Stack:
    """Blend with Pillow's smoothed image, extrapolating for factors above 1; the stack's outermost pixels are kept."""
    kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / np.float32(13)
    smooth = stack.copy()
    smooth[1:-1, 1:-1] = cv2.filter2D(stack.astype(np.float32), -1, kernel)[1:-1, 1:-1].clip(0, 255)
    return _blend(smooth, stack, _factor(strength))


# Functions of a stack and a strength, which is 1 at magnitude 10. `scenic_rand_augment` adds Cutout, which needs
# separate frames.
OPERATIONS: dict[str, Callable[[Stack, float], Stack]] = {
    "auto_contrast": _auto_contrast,
    "equalize": _equalize,
    "invert": _invert,
    "posterize": _posterize,
    "solarize": _solarize,
    "color": _color,
    "contrast": _contrast,
    "brightness": _brightness,
    "sharpness": _sharpness,
    "solarize_add": _solarize_add,
}
