"""Resize learned positions to other clip sizes with the interpolation that each family's authors use."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from vidjax import ops
from vidjax.errors import WeightsError
from vidjax.models import ClipSpec
from vidjax.models.spec import Positions
from vidjax.ops.position import cubic_weights
from vidjax.weights.rules import flatten, nest


def fit_positions(params: Mapping, old: ClipSpec, new: ClipSpec) -> tuple[dict, tuple[str, ...]]:
    """Resize learned positions from one spec's grid of cubes to another's, by the new spec's methods.

    Returns:
      the parameters, and notes on what was done.
    """
    if old.grid == new.grid:
        return dict(params), ()
    flat, notes = dict(flatten(params)), []
    if not old.learned_positions:
        grids = ["x".join(map(str, spec.grid)) for spec in (new, old)]
        notes.append(f"{new.computed_positions} computed for {grids[0]} cubes (t h w) instead of {grids[1]}")
    for path, positions in new.learned_positions.items():
        if path in flat:
            flat[path], note = _resized(path, np.asarray(flat[path]), positions, old, new)
            notes += [note] if note else []
    return nest(flat), tuple(notes)


def _resized(
    path: str, table: np.ndarray, positions: Positions, old: ClipSpec, new: ClipSpec
) -> tuple[np.ndarray, str]:
    before, after = (tuple(spec.grid["thw".index(axis)] for axis in positions.axes) for spec in (old, new))
    extra = len(table) - math.prod(before)  # the class token's row, which is kept
    if extra not in (0, 1):
        raise WeightsError(f"{path} holds {len(table)} positions, which do not fit {old.grid} cubes")
    if before == after:
        return table, ""
    words = ["x".join(map(str, size)) for size in (before, after)]
    methods = " and ".join(dict.fromkeys(positions.methods))
    if positions.flat:
        methods, before, after = f"{methods} over the flattened table", (math.prod(before),), (math.prod(after),)
    places = resample(table[extra:].reshape(*before, -1), after, positions.methods).reshape(math.prod(after), -1)
    note = f"{path} resized from {words[0]} to {words[1]} ({' '.join(positions.axes)}; {methods})"
    return np.concatenate([table[:extra], places]), note


def resample(
    table: Float[np.ndarray, "*n d"], size: tuple[int, ...], methods: tuple[str, ...]
) -> Float[np.ndarray, "*m d"]:
    """Resize the leading axes of a table to `size`, each by its method in `METHODS`; axes of that size are kept."""
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
    """Linear weights between the centres of entries, like PyTorch's linear and bilinear with align_corners=False."""
    places = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    return _tents(places, old)


def _linear_antialiased(old: int, new: int) -> np.ndarray:
    """Linear weights whose tents are wider if the table gets shorter, as in `jax.image.resize`."""
    places = (np.arange(new) + 0.5) * old / new - 0.5
    matrix = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(old)) / max(1, old / new))
    return matrix / matrix.sum(axis=1, keepdims=True)


def _linear_corners(old: int, new: int) -> np.ndarray:
    """Linear weights that keep the first and last entries in place, like scipy's zoom of order 1 in scenic."""
    return _tents(np.linspace(0, old - 1, new), old)


def _tents(places: np.ndarray, old: int) -> np.ndarray:
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(old)))


METHODS = {
    "nearest": _nearest,
    "linear": _weighted(_linear),
    "linear, antialiased": _weighted(_linear_antialiased),
    "linear, corners kept": _weighted(_linear_corners),
    "cubic": _weighted(cubic_weights),
}
