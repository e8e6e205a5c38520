"""Divide attention over a mesh by rows and heads: by itself, XLA would partition neither a kernel nor a loop."""

import math
from typing import NamedTuple

import jax

from vidjax.ops.mesh_axes import ROWS, TENSOR, free_axes


class Shares(NamedTuple):
    """The mesh axes that divide rows and heads, None if none do, and the number of heads per device."""

    rows: tuple[str, ...] | None
    tensor: str | None
    heads: int


def shares(rows: int, heads: int) -> Shares:
    """Divide this many rows and heads over the mesh as far as possible; without a mesh, not at all."""
    free = free_axes()
    axes = tuple(axis for axis in ROWS if free.get(axis, 1) > 1)
    if rows % math.prod(free[axis] for axis in axes):
        axes = ()
    groups = free.get(TENSOR, 1)
    if groups == 1 or heads % groups:
        return Shares(axes or None, None, heads)
    return Shares(axes or None, TENSOR, heads // groups)


def on_each_device(function, in_specs, out_specs):
    """Run `function` on each device's share, under `shard_map` if the mesh has several devices.

    All axes are mapped, even those that divide neither rows nor heads, because a kernel is never partitioned.
    """
    free = free_axes()
    if math.prod(free.values()) == 1:
        return function
    return jax.shard_map(function, in_specs=in_specs, out_specs=out_specs, axis_names=set(free), check_vma=False)
