"""Resize frames with the interpolation that a model's authors use; `INTERPOLATIONS` names them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from jaxtyping import Float, Num
from PIL import Image

_ALIASING = 2.0  # shrinking by more than this skips pixels unless areas are averaged
Resize = Callable[[np.ndarray, tuple[int, int], np.ndarray], object]  # one frame, (width, height), output array


def _opencv(method: int) -> Resize:
    return lambda frame, size, out: cv2.resize(frame, size, dst=out, interpolation=method)


def _antialiased(frame: np.ndarray, size: tuple[int, int], out: np.ndarray) -> None:
    """Pillow's bilinear interpolation: its kernel widens with the shrink factor, so every pixel counts."""
    if frame.dtype == np.uint8 or frame.ndim == 2:
        out[:] = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR))
        return
    for channel in range(frame.shape[-1]):  # Pillow has no float colour images
        _antialiased(np.ascontiguousarray(frame[..., channel]), size, out[..., channel])


# The choices of data.interpolation. bilinear and bicubic do not antialias, as in OpenCV and PyTorch; bilinear_antialias
# is Pillow's bilinear.
INTERPOLATIONS = {
    "bilinear": _opencv(cv2.INTER_LINEAR),
    "bicubic": _opencv(cv2.INTER_CUBIC),
    "area": _opencv(cv2.INTER_AREA),
    "bilinear_antialias": _antialiased,
}


def resize(
    frames: Num[np.ndarray, "t h w c"],
    size: tuple[int, int],
    interpolation: str,
    out: Num[np.ndarray, "t h2 w2 c"] | None = None,
) -> Num[np.ndarray, "t h2 w2 c"]:
    """Resize all frames to (height, width), into `out` or a new array.

    Up to a shrink factor of two, this is the named interpolation. Beyond it, methods without antialiasing are replaced
    by area averaging, since they would skip pixels and alias.

    Args:
      frames: uint8 or float32.
    """
    (height, width), (frame_height, frame_width) = size, frames.shape[1:3]
    if out is None:
        out = np.empty((len(frames), height, width, frames.shape[-1]), frames.dtype)
    if (height, width) == (frame_height, frame_width):
        out[:] = frames
        return out
    method = _method((frame_height, frame_width), size, interpolation)
    for frame, target in zip(frames, out, strict=True):
        method(frame, (width, height), target)
    return out


def resize_weights(
    frame_size: Sequence[int], size: tuple[int, int], interpolation: str
) -> tuple[Float[np.ndarray, "h2 h"], Float[np.ndarray, "w2 w"]]:
    """Matrices that resize the rows and columns of frames of `frame_size` as `resize` does, for use inside `jit`."""
    method, matrices = _method(frame_size, size, interpolation), []
    for old, new in zip(frame_size, size, strict=True):
        matrices.append(np.empty((new, old), np.float32))
        method(np.eye(old, dtype=np.float32), (old, new), matrices[-1])
    return matrices[0], matrices[1]


def _method(frame_size: Sequence[int], size: tuple[int, int], interpolation: str) -> Resize:
    """The method that resizes frames of one size to another."""
    shrunk = max(old / new for old, new in zip(frame_size, size, strict=True))
    averaged = shrunk > _ALIASING and interpolation != "bilinear_antialias"
    return INTERPOLATIONS["area" if averaged else interpolation]
