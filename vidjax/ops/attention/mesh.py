"""Shard attention over a mesh by rows and heads, because XLA on its own partitions neither kernels nor loops."""

import math
from typing import NamedTuple

import jax

from vidjax.ops.mesh_axes import ROWS, TENSOR, free_axes


class Shares(NamedTuple):
    """The mesh axes that shard rows and those that shard heads (None if unsharded), and the heads per device."""

    rows: tuple[str, ...] | None
    tensor: str | None
    heads: int


def shares(rows: int, heads: int) -> Shares:
    """Return how the ambient mesh shards `rows` and `heads`; each is sharded only if it divides evenly."""
    free = free_axes()
    axes = tuple(axis for axis in ROWS if free.get(axis, 1) > 1)
    if rows % math.prod(free[axis] for axis in axes):
        axes = ()
    groups = free.get(TENSOR, 1)
    if groups == 1 or heads % groups:
        return Shares(axes or None, None, heads)
    return Shares(axes or None, TENSOR, heads // groups)


def on_each_device(function, in_specs, out_specs):
    """Wrap `function` in `shard_map` if the ambient mesh has several devices, so that each computes its own share.

    All mesh axes are mapped, even those that shard neither rows nor heads, because XLA cannot partition a kernel.
    """
    free = free_axes()
    if math.prod(free.values()) == 1:
        return function
    return jax.shard_map(function, in_specs=in_specs, out_specs=out_specs, axis_names=set(free), check_vma=False)
