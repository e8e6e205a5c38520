"""The axes of a device mesh, which dimensions of arrays each of them shards, and meshes of given devices.

Every mesh has the axes (data, fsdp, tensor). Rows of a batch are sharded over data and fsdp, channels and heads over
tensor.
"""

import math
from collections.abc import Sequence

import jax
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh

DATA, FSDP, TENSOR = AXES = ("data", "fsdp", "tensor")
ROWS = (DATA, FSDP)
CHANNELS = (TENSOR,)


def mesh_of(sizes: Sequence[int], devices: Sequence[jax.Device]) -> Mesh:
    """Make a mesh of `sizes` devices along `AXES`, over which the compiler may shard arrays.

    TPU slices are connected only by the data-centre network, so they are placed along the data axis. Then little
    but gradients passes between slices, and each chip sends its own part of them.
    """
    slices = count_slices(devices)
    split = True  # a physical axis may serve two mesh axes; a mesh axis of 8 chips needs this in a 4 x 4 x 4 torus
    if slices == 1:
        array = mesh_utils.create_device_mesh(tuple(sizes), devices, allow_split_physical_axes=split)
    else:
        within = (sizes[0] // slices, *sizes[1:])
        between = (slices, 1, 1)
        array = mesh_utils.create_hybrid_device_mesh(within, between, devices, allow_split_physical_axes=split)
    return Mesh(array, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def count_slices(devices: Sequence[jax.Device]) -> int:
    """Return the number of TPU slices among the devices; 1 if devices have no slice index."""
    return len({getattr(device, "slice_index", 0) for device in devices})


def local_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Make a mesh of the given devices, or of all devices of this process, along the data axis."""
    devices = jax.local_devices() if devices is None else devices
    return mesh_of((len(devices), 1, 1), devices)


def row_blocks(mesh: Mesh) -> int:
    """Return the number of parts into which a mesh shards the rows of a batch."""
    return math.prod(mesh.shape[axis] for axis in ROWS)


def free_axes() -> dict[str, int]:
    """Return the sizes of the ambient mesh's automatic axes, over which the compiler may shard arrays."""
    mesh = jax.sharding.get_abstract_mesh()
    kinds = zip(mesh.axis_names, mesh.axis_types, strict=True)
    return {name: mesh.shape[name] for name, kind in kinds if kind == AxisType.Auto}
