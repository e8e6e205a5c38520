"""Keep activations sharded by rows of the batch, so that each device works on its own clips and gathers parameters."""

import math
from collections.abc import Callable

import jax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from vidjax.ops.mesh_axes import FSDP, ROWS, TENSOR, free_axes


def by_rows(x: Float[Array, " b *dims"]) -> Float[Array, " b *dims"]:
    """Constrain an array and its gradient to have their rows sharded over the ambient mesh; all other axes stay free.

    If the mesh shards parameters too (fsdp), the compiler might otherwise shard the channels of activations like
    those of parameters. It would then send activations, which are many times larger than parameters, between devices.
    Does nothing without a mesh, or if rows cannot be divided evenly. Under `vmap`, rows are those of one example.
    Source: GSPMD (Xu et al. 2021, arXiv:2105.04663).

    Example:
      >>> jax.jit(vidjax.ops.by_rows)(jnp.arange(3.0)).tolist()  # without a mesh
      [0.0, 1.0, 2.0]
    """
    free = free_axes()
    axes = tuple(name for name in ROWS if name in free)
    devices = math.prod(free[name] for name in axes)
    if devices == 1 or x.shape[0] % devices:
        return x
    return jax.lax.with_sharding_constraint(x, P(axes, *(P.UNCONSTRAINED,) * (x.ndim - 1)))


def gathered(kernel: Float[Array, "*d"]) -> Float[Array, "*d"]:
    """Constrain a parameter to be whole on each device while it is used; its gradient is sharded again afterwards.

    If the mesh's tensor axis is larger than 1, it shards some parameters, so the layout is left to the compiler.

    Example:
      >>> jax.jit(vidjax.ops.gathered)(jnp.arange(3.0)).tolist()  # without a mesh
      [0.0, 1.0, 2.0]
    """
    if free_axes().get(FSDP, 1) == 1 or jax.sharding.get_abstract_mesh().shape.get(TENSOR, 1) > 1:
        return kernel
    return jax.lax.with_sharding_constraint(kernel, P())


def on_own_rows(function: Callable[[Array], Array], rows: int) -> Callable[[Array], Array]:
    """Make each device of the ambient mesh apply `function` to its own rows of an array, without communication.

    Returns `function` itself without a mesh, or if the array's number of `rows` cannot be divided evenly.

    Example:
      >>> vidjax.ops.row_sharding.on_own_rows(jnp.sin, 2) is jnp.sin  # without a mesh
      True
    """
    free = free_axes()
    axes = tuple(name for name in ROWS if free.get(name, 1) > 1)
    if not axes or rows % math.prod(free[name] for name in axes):
        return function
    return jax.shard_map(function, in_specs=P(axes), out_specs=P(axes), axis_names=set(axes), check_vma=False)


def product_by_rows(
    x: Float[Array, " b *dims"], kernel: Float[Array, "*d"], multiply: Callable[[Array, Array], Array], divided: int = 0
) -> Float[Array, " b *e"]:
    """Compute `multiply(x, kernel)` with rows sharded: each device multiplies its own rows by the whole kernel.

    If the mesh shards parameters (fsdp), each device gathers the kernel along its axis `divided`, and the gradient is
    reduce-scattered. On its own, the compiler would sum the whole gradient on every device and then discard most of it.
    Devices along the data axis hold the same part of the kernel and sum only the gradient of this part. All this is
    left to the compiler if the tensor axis is larger than 1, or if rows or the kernel cannot be divided evenly.
    Source: ZeRO (Rajbhandari et al. 2020, arXiv:1910.02054), stage 3.

    Example:
      >>> vidjax.ops.product_by_rows(jnp.ones((2, 3)), jnp.ones((3, 4)), jnp.matmul).shape
      (2, 4)
    """
    free = free_axes()
    rows = tuple(name for name in ROWS if free.get(name, 1) > 1)
    parts, tensor = free.get(FSDP, 1), jax.sharding.get_abstract_mesh().shape.get(TENSOR, 1)
    uneven = x.shape[0] % math.prod(free[name] for name in rows) or kernel.shape[divided] % parts
    if parts == 1 or tensor > 1 or uneven:
        return by_rows(multiply(x, gathered(kernel)))

    def on_device(x, part):
        return multiply(x, jax.lax.all_gather(part, FSDP, axis=divided, tiled=True))

    specs = (P(rows), P(*(None,) * divided, FSDP))
    mapped = jax.shard_map(on_device, in_specs=specs, out_specs=P(rows), axis_names=set(rows), check_vma=False)
    return mapped(x, kernel)
