"""What only a TPU needs: the memory of a core, types of a kernel's outputs on a mesh, how an array lies in memory."""

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Array, Float

from vidjax.ops import platforms

VMEM = 64 * 2**20  # bytes of a core, at least, in the TPUs since v5e
SMALL_VMEM = {"TPU v2": 2**24, "TPU v3": 2**24, "TPU v4": 2**24}


def core_memory() -> int:
    """Bytes of a core of the mesh, which may be one to compile for only, or else of this machine."""
    device = jax.sharding.get_abstract_mesh().abstract_device or jax.devices()[0]
    return SMALL_VMEM.get(device.device_kind, VMEM)


def output(like, shape: tuple[int, ...], dtype=jnp.float32) -> jax.ShapeDtypeStruct:
    """The type of an output that varies over the same axes of a mesh as the array `like` does."""
    return jax.ShapeDtypeStruct(shape, dtype, manual_axis_type=jax.typeof(like).manual_axis_type)


def as_shaped(x: Float[Array, "*dims"]) -> Float[Array, "*dims"]:
    """The same array; a TPU keeps it in memory in the order of its axes.

    Left to choose, the compiler puts the axis innermost that fills whole tiles, such as 8 clips in place of 197
    patches, and turns it back for every kernel. A loop over layers pins what it carries by itself.
    """
    return platforms.dispatch(
        x, tpu=lambda x: with_layout_constraint(x, Layout(tuple(range(x.ndim)))), default=lambda x: x
    )
