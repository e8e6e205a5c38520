"""Learned positions at another size, by the interpolation that each family's authors use."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from vidjax import ops

CUBIC = -0.75  # PyTorch's constant of the kernel; Keys' is -0.5


def resample(
    table: Float[np.ndarray, "*n d"], size: tuple[int, ...], methods: tuple[str, ...]
) -> Float[np.ndarray, "*m d"]:
    """Resize the leading axes of a table to `size`, each by its method: one of `METHODS`; an axis that fits stays."""
    for axis, (new, method) in enumerate(zip(size, methods, strict=True)):
        if new != table.shape[axis]:
            table = METHODS[method](table, axis, new)
    return np.asarray(table, np.float32)


def _nearest(table: np.ndarray, axis: int, new: int) -> np.ndarray:
    return np.moveaxis(np.asarray(ops.resize_nearest(jnp.moveaxis(table, axis, 0), (new,))), 0, axis)


def _weighted(weights: Callable[[int, int], np.ndarray]) -> Callable:
    def resize(table: np.ndarray, axis: int, new: int) -> np.ndarray:
        matrix = weights(table.shape[axis], new)
        return np.moveaxis(np.tensordot(matrix, table.astype(np.float64), (1, axis)), 0, axis)

    return resize


def _linear(old: int, new: int) -> np.ndarray:
    """Between the centres of entries, as PyTorch's linear and bilinear with align_corners=False."""
    places = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    return _tents(places, old)


def _linear_corners(old: int, new: int) -> np.ndarray:
    """First and last entries stay where they are, as scipy's zoom of order 1, which scenic uses."""
    return _tents(np.linspace(0, old - 1, new), old)


def _tents(places: np.ndarray, old: int) -> np.ndarray:
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(old)))


def _cubic(old: int, new: int) -> np.ndarray:
    """PyTorch's bicubic with align_corners=False: four entries, those beyond the edge repeated."""
    places = (np.arange(new) + 0.5) * old / new - 0.5
    first, matrix = np.floor(places).astype(int), np.zeros((new, old))
    for neighbour in range(-1, 3):
        x = np.abs(places - (first + neighbour))
        near = (CUBIC + 2) * x**3 - (CUBIC + 3) * x**2 + 1
        far = CUBIC * (x**3 - 5 * x**2 + 8 * x - 4)
        entry = np.clip(first + neighbour, 0, old - 1)
        np.add.at(matrix, (np.arange(new), entry), np.where(x <= 1, near, far))
    return matrix


METHODS = {
    "nearest": _nearest,
    "linear": _weighted(_linear),
    "linear, corners kept": _weighted(_linear_corners),
    "cubic": _weighted(_cubic),
}
