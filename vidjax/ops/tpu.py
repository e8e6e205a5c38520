"""TPU specifics: the memory of a core, the types of a kernel's outputs on a mesh, and the layout of arrays."""

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Array, Num

from vidjax.ops import platforms
from vidjax.ops.row_sharding import on_own_rows

VMEM = 64 * 2**20  # bytes; a core has at least this in all TPUs since v5e
SMALL_VMEM = {"TPU v2": 2**24, "TPU v3": 2**24, "TPU v4": 2**24}


def core_memory() -> int:
    """Return a core's bytes of VMEM: on the devices of the ambient mesh, if there is one, else on this machine's."""
    device = jax.sharding.get_abstract_mesh().abstract_device or jax.devices()[0]
    return SMALL_VMEM.get(device.device_kind, VMEM)


def output(like, shape: tuple[int, ...], dtype=jnp.float32) -> jax.ShapeDtypeStruct:
    """Return the type of an output that varies over the same mesh axes as the array `like`."""
    return jax.ShapeDtypeStruct(shape, dtype, manual_axis_type=jax.typeof(like).manual_axis_type)


def stored(x: Num[Array, "*dims"], order: tuple[int, ...] | None = None) -> Num[Array, "*dims"]:
    """Return the array unchanged, and make a TPU store its axes in this order, innermost last; None keeps their order.

    Without this, the compiler may choose another innermost axis, one that fills whole tiles (8 clips instead of 197
    patches), and then transpose the array for every kernel. Loops over layers do not need it: they fix the layout of
    their carry.
    """
    layout = Layout(order or tuple(range(x.ndim)))
    # Each device fixes the layout of its own rows, because the compiler does not shard this operation: it would gather
    # the whole batch on every device, and it does not always notice that each device then needs only its rows.
    constrain = on_own_rows(lambda x: with_layout_constraint(x, layout), x.shape[0])
    return platforms.dispatch(x, tpu=constrain, default=lambda x: x)
