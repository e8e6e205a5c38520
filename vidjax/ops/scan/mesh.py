"""The scan on a mesh: each device takes its own rows and channels; only gradients of what is shared cross devices."""

import math
from collections.abc import Callable

import jax
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from vidjax.ops.rows import ROWS

CHANNELS = ("tensor",)


def on_each_device(scan: Callable, x, dt, A, B, C, D, bias):
    """`scan` of the operands of `selective_scan`; under `shard_map` where there is an ambient mesh of several devices.

    All its axes are mapped, those that cannot share rows or channels evenly too: a kernel is never partitioned.
    """
    mesh = jax.sharding.get_abstract_mesh()
    kinds = zip(mesh.axis_names, mesh.axis_types, strict=True)
    free = {name: mesh.shape[name] for name, kind in kinds if kind == AxisType.Auto}

    def local(*operands):
        return scan(*vary_alike(*operands))

    if math.prod(free.values()) > 1:
        rows, channels = _sharing(ROWS, free, x.shape[0]), _sharing(CHANNELS, free, x.shape[2])
        tokens, states = P(rows, None, channels), P(rows)
        in_specs = (tokens, tokens, P(channels), states, states, P(channels), P(channels))
        local = jax.shard_map(local, in_specs=in_specs, out_specs=tokens, axis_names=set(free))
    return local(x, dt, A, B, C, D, bias)


def vary_alike(*arrays):
    """Declare that arrays vary over the mesh axes that one of them does; gradients of the others are then summed."""
    axes = frozenset().union(*(jax.typeof(array).manual_axis_type.varying for array in arrays))
    return tuple(_vary(array, axes) for array in arrays)


def _vary(array, axes):
    missing = axes - jax.typeof(array).manual_axis_type.varying
    return jax.lax.pcast(array, tuple(missing), to="varying") if missing else array


def _sharing(names, free, size) -> tuple[str, ...]:
    """The free axes among `names`, if their devices can share `size` evenly."""
    names = tuple(name for name in names if name in free)
    return names if size % math.prod(free[name] for name in names) == 0 else ()
