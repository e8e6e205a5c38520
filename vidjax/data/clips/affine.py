"""Pillow's affine transforms for all frames of a clip, bit for bit.

For every pixel of every frame, Pillow computes the sixteen taps of a bicubic kernel in double precision. Where a shear
or a translation moves pixels along one axis only, just four taps count, and their weights are the same in all frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, Int16, UInt8
from PIL import Image

_TAPS = 4
_ROWS = 64  # rows computed at a time, so that their arrays of doubles stay in cache


def affine(
    frames: UInt8[np.ndarray, "t h w 3"],
    size: tuple[int, int],
    matrix: Sequence[float],
    resample: Image.Resampling,
    fill: tuple[int, int, int],
) -> UInt8[np.ndarray, "t h2 w2 3"]:
    """Apply an affine matrix as `Image.transform` does.

    Args:
      size: (height, width) of the result.
      matrix: (a, b, c, d, e, f); the result at (x, y) is the image at (a x + b y + c, d x + e y + f).
      fill: the colour of points outside the image.
    """
    a, b, c, d, e, f = matrix
    if resample == Image.Resampling.BICUBIC:
        moved = None
        if (a, d, e) == (1, 0, 1):
            moved = _along_rows(frames, size, (b, c, f), fill)
        if moved is None and (a, b, e) == (1, 0, 1):
            moved = _along_rows(_transpose(frames), size[::-1], (d, f, c), fill)
            moved = None if moved is None else _transpose(moved)
        if moved is not None:
            return moved
    result = np.empty((len(frames), *size, 3), np.uint8)
    for frame, out in zip(frames, result, strict=True):
        method = Image.Transform.AFFINE
        out[:] = Image.fromarray(frame).transform(size[::-1], method, matrix, resample, fillcolor=fill)
    return result


def _along_rows(frames, size: tuple[int, int], moves: tuple[float, float, float], fill):
    """Shift each row: the result at (x, y) is the image at (x + slope y + start, y + top); moves = (slope, start, top).

    Returns:
      the shifted frames. None if the result needs points between the image's rows, or rows outside it. Also None if
      rounding puts two neighbouring points in the same pixel or two pixels apart, as can happen where a point lies
      exactly on a pixel.
    """
    (height, width), (slope, start, top) = size, moves
    if top != int(top) or not 0 <= top <= frames.shape[1] - height:
        return None
    places = (np.arange(width) + 0.5) + slope * (np.arange(height)[:, None] + 0.5) + start
    outside = (places < 0) | (places >= frames.shape[2])
    places -= 0.5
    pixels = np.floor(places)
    if (np.diff(pixels) != 1).any():
        return None
    shifted = _shift_rows(frames[:, int(top) : int(top) + height], pixels[:, 0].astype(int) - 1, width)
    fractions = np.repeat(places - pixels, 3, axis=1)
    result = np.empty((len(frames), height, width, 3), np.uint8)
    for row in range(0, height, _ROWS):
        rows = slice(row, row + _ROWS)
        for source, out in zip(shifted[:, rows], result[:, rows], strict=True):
            out.reshape(len(out), -1)[:] = _interpolate(source.astype(np.int16), fractions[rows])
    colour = np.full(result.shape[1:], fill, np.uint8)
    for out in result:
        cv2.copyTo(colour, outside.astype(np.uint8), out)
    return result


def _shift_rows(frames, starts, width: int) -> UInt8[np.ndarray, "t h w*3"]:
    """Cut the pixels that `width` points need from each row, from `starts` on; past its ends, edge pixels repeat."""
    edge = _TAPS // 2  # pixels further outside are never used
    padded = np.pad(frames, ((0, 0), (0, 0), (edge, edge), (0, 0)), mode="edge")
    shifted = np.zeros((*frames.shape[:2], width + _TAPS - 1, 3), np.uint8)
    for row, start in enumerate(starts + edge):
        first, last = max(-start, 0), min(shifted.shape[2], padded.shape[2] - start)
        if first < last:
            shifted[:, row, first:last] = padded[:, row, first + start : last + start]
    return shifted.reshape(*frames.shape[:2], -1)


def _interpolate(values: Int16[np.ndarray, "h w3"], fractions: Float[np.ndarray, "h w2"]) -> Float[np.ndarray, "h w2"]:
    """Pillow's cubic between the second and the third of four neighbours (BICUBIC in its Geometry.c)."""
    before, left, right, after = (values[:, 3 * tap : 3 * tap + fractions.shape[1]] for tap in range(_TAPS))
    rise, fall = before - left, right - after
    result = -(rise + fall) * fractions
    result += 2 * rise + fall
    result *= fractions
    result += right - before
    result *= fractions
    result += left
    return np.clip(result, 0, 255, out=result)


def _transpose(frames: np.ndarray) -> np.ndarray:
    """Swap rows and columns."""
    return np.stack([cv2.transpose(frame) for frame in frames])
