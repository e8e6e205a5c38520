"""The axes of a mesh: their names, what is divided over which, and meshes of given devices.

Every mesh has the axes (data, fsdp, tensor). Rows of a batch lie over data and fsdp, channels and heads over tensor.
"""

import math
from collections.abc import Sequence

import jax
from jax.sharding import AxisType, Mesh

DATA, FSDP, TENSOR = AXES = ("data", "fsdp", "tensor")
ROWS = (DATA, FSDP)
CHANNELS = (TENSOR,)


def mesh_of(sizes: Sequence[int], devices: Sequence[jax.Device]) -> Mesh:
    """A mesh of `sizes` devices along `AXES`, over which the compiler may divide arrays."""
    return jax.make_mesh(tuple(sizes), AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=devices)


def local_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh of this process's devices, or of some of them, all along data."""
    devices = jax.local_devices() if devices is None else devices
    return mesh_of((len(devices), 1, 1), devices)


def row_blocks(mesh: Mesh) -> int:
    """How many parts the rows of a batch are divided into."""
    return math.prod(mesh.shape[axis] for axis in ROWS)


def free_axes() -> dict[str, int]:
    """Sizes of the axes of the ambient mesh that the compiler may divide arrays over."""
    mesh = jax.sharding.get_abstract_mesh()
    kinds = zip(mesh.axis_names, mesh.axis_types, strict=True)
    return {name: mesh.shape[name] for name, kind in kinds if kind == AxisType.Auto}
