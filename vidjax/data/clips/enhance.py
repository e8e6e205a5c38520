"""Pillow's `ImageOps` and `ImageEnhance` for all frames of a clip at once, bit for bit.

Most operations are lookup tables of 256 values: one per clip or per frame, and one per channel or for all channels.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

VALUES = np.arange(256)
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13  # ImageFilter.SMOOTH
Frames = UInt8[np.ndarray, "t h w 3"]
Tables = Int[np.ndarray, "#t 256 #c"]


def look_up(frames: Frames, tables: Tables) -> Frames:
    """Replace each value using the table of its frame and channel."""
    result, (width, channels) = np.empty(frames.shape, np.uint8), frames.shape[2:]
    row = (width, channels) if tables.shape[2] > 1 else (width * channels,)
    stacks, places = (x.reshape(len(tables), -1, *row) for x in (frames, result))
    for stack, place, table in zip(stacks, places, tables, strict=True):
        cv2.LUT(stack, table[None].astype(np.uint8), dst=place)
    return result


def auto_contrast(frames: Frames) -> Tables:
    """Tables that stretch each channel of each frame to the full range; a channel with a single value is unchanged."""
    low, high = (_over_pixels(frames, end)[:, None] for end in (np.min, np.max))
    scale = 255.0 / np.maximum(high - low, 1)
    stretched = (VALUES[:, None] * scale - low * scale).astype(int).clip(0, 255)
    return np.where(high > low, stretched, VALUES[:, None])


def equalize(frames: Frames) -> Tables:
    """Tables that equalise each channel of each frame.

    A channel with fewer than 255 pixels below its maximum is unchanged.
    """
    counts = np.stack([_count(frame) for frame in frames])
    greatest = 255 - np.argmax(counts[:, ::-1] > 0, axis=1, keepdims=True)
    steps = (counts.sum(1, keepdims=True) - np.take_along_axis(counts, greatest, axis=1)) // 255
    below = np.cumsum(counts, axis=1) - counts
    spread = (steps // 2 + below) // np.maximum(steps, 1)
    return np.where(steps > 0, np.minimum(spread, 255), VALUES[:, None])


def contrast(frames: Frames, factor: float) -> Tables:
    """Tables that blend each frame with its mean luma; a factor above 1 extrapolates."""
    lumas = (np.asarray(Image.fromarray(frame).convert("L")) for frame in frames)
    return np.stack([_blended(int(luma.sum() / luma.size + 0.5), factor) for luma in lumas])


def brightness(factor: float) -> Tables:
    """A table that blends with black; a factor above 1 extrapolates."""
    return _blended(0, factor)[None]


def color(frames: Frames, factor: float) -> Frames:
    """Blend each pixel with its luma; a factor above 1 extrapolates."""
    result = np.empty(frames.shape, np.uint8)
    for frame, out in zip(frames, result, strict=True):
        image = Image.fromarray(frame)
        out[:] = Image.blend(image.convert("L").convert("RGB"), image, factor)
    return result


def sharpness(frames: Frames, factor: float) -> Frames:
    """Blend with smoothed frames, whose outermost pixels are not smoothed; a factor above 1 extrapolates."""
    result = np.empty(frames.shape, np.uint8)
    for frame, out in zip(frames, result, strict=True):
        smooth = cv2.filter2D(frame, -1, _SMOOTH)
        for edge in (0, -1):
            smooth[edge], smooth[:, edge] = frame[edge], frame[:, edge]
        out[:] = Image.blend(Image.fromarray(smooth), Image.fromarray(frame), factor)
    return result


def _blended(start: int, factor: float) -> UInt8[np.ndarray, "256 1"]:
    """A table that blends every value with `start`."""
    every = Image.fromarray(VALUES.astype(np.uint8)[:, None])
    return np.asarray(Image.blend(Image.new("L", every.size, start), every, factor))


def _count(frame: UInt8[np.ndarray, "h w 3"]) -> Int[np.ndarray, "256 3"]:
    """The number of pixels with each value, per channel."""
    counts = (cv2.calcHist([frame], [channel], None, [256], [0, 256]) for channel in range(3))
    return np.stack([each.ravel().astype(int) for each in counts], -1)


def _over_pixels(frames: Frames, reduce) -> Int[np.ndarray, "t 3"]:
    """The least or greatest value of each channel of each frame; reducing across rows first reads memory in order."""
    t, h, w, c = frames.shape
    return reduce(reduce(frames.reshape(t, h, w * c), axis=1).reshape(t, w, c), axis=1).astype(int)
