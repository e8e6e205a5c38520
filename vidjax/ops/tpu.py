"""What the Pallas kernels for TPUs have in common: the memory of a core, and types of outputs on a mesh."""

import jax
import jax.numpy as jnp

VMEM = 64 * 2**20  # bytes of a core, at least, in the TPUs since v5e
SMALL_VMEM = {"TPU v2": 2**24, "TPU v3": 2**24, "TPU v4": 2**24}


def core_memory() -> int:
    """Bytes of a core of the mesh, which may be one to compile for only, or else of this machine."""
    device = jax.sharding.get_abstract_mesh().abstract_device or jax.devices()[0]
    return SMALL_VMEM.get(device.device_kind, VMEM)


def output(like, shape: tuple[int, ...], dtype=jnp.float32) -> jax.ShapeDtypeStruct:
    """The type of an output that varies over the same axes of a mesh as the array `like` does."""
    return jax.ShapeDtypeStruct(shape, dtype, manual_axis_type=jax.typeof(like).manual_axis_type)
