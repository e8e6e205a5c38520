"""On a mesh each device takes its own rows and heads: neither a kernel nor a loop would be partitioned otherwise."""

import math
from typing import NamedTuple

import jax

from vidjax.ops.mesh_axes import ROWS, TENSOR, free_axes


class Shares(NamedTuple):
    """Axes of the mesh that rows and heads are divided over, or None, and the heads of a device."""

    rows: tuple[str, ...] | None
    tensor: str | None
    heads: int


def shares(rows: int, heads: int) -> Shares:
    """How an array of so many rows and heads is divided: as far as it can be, and not at all without a mesh."""
    free = free_axes()
    axes = tuple(axis for axis in ROWS if free.get(axis, 1) > 1)
    if rows % math.prod(free[axis] for axis in axes):
        axes = ()
    groups = free.get(TENSOR, 1)
    if groups == 1 or heads % groups:
        return Shares(axes or None, None, heads)
    return Shares(axes or None, TENSOR, heads // groups)


def on_each_device(function, in_specs, out_specs):
    """All axes of a mesh are mapped, those that cannot share rows or heads too: a kernel is never partitioned."""
    free = free_axes()
    if math.prod(free.values()) == 1:
        return function
    return jax.shard_map(function, in_specs=in_specs, out_specs=out_specs, axis_names=set(free), check_vma=False)
