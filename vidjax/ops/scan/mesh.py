"""Shard a scan over a mesh by rows and channels; only the gradients of replicated operands cross devices."""

import math
from collections.abc import Callable

import jax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array

from vidjax.ops.mesh_axes import CHANNELS, ROWS, free_axes

SHARED = {"b": ROWS, "d": CHANNELS}


def on_each_device(function: Callable, axes: str, *operands: Array) -> Array:
    """Run `function`, under `shard_map` if the ambient mesh has several devices; its result is like its first array.

    All mesh axes are mapped, even those that shard neither rows nor channels, because XLA cannot partition a kernel.

    Args:
      axes: the axes of each operand, as in "b l d, d s". Only rows b and channels d are sharded.
    """
    free = free_axes()

    def local(*operands):
        return function(*vary_alike(*operands))

    if math.prod(free.values()) > 1:
        letters = [each.split() for each in axes.split(",")]
        sizes = dict(zip(letters[0], operands[0].shape, strict=True))
        shared = {letter: _sharing(names, free, sizes[letter]) for letter, names in SHARED.items() if letter in sizes}
        in_specs = tuple(P(*map(shared.get, each)) for each in letters)
        local = jax.shard_map(local, in_specs=in_specs, out_specs=in_specs[0], axis_names=set(free))
    return local(*operands)


def vary_alike(*arrays):
    """Make all arrays vary over every mesh axis that any of them varies over.

    The gradients of replicated arrays are then summed over the devices.
    """
    axes = frozenset().union(*(jax.typeof(array).manual_axis_type.varying for array in arrays))
    return tuple(_vary(array, axes) for array in arrays)


def _vary(array, axes):
    missing = axes - jax.typeof(array).manual_axis_type.varying
    return jax.lax.pcast(array, tuple(missing), to="varying") if missing else array


def _sharing(names, free, size) -> tuple[str, ...]:
    """Return the free axes among `names` if together they divide `size` evenly, else none."""
    names = tuple(name for name in names if name in free)
    return names if size % math.prod(free[name] for name in names) == 0 else ()
