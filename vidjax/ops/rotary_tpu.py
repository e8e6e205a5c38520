"""The rotation of heads on a TPU core as a Pallas kernel, which reads and writes queries or keys once.

The program that the compiler makes without this kernel takes three times as long, because it moves channels to their
neighbours' places in separate passes. The kernel rotates lanes inside a register.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

LANES = 128
TOKENS = 512  # the most per grid step


def applies(x, d: int) -> bool:
    """Return whether the kernel can take heads of d channels that lie side by side in x."""
    return x.ndim == 3 and x.shape[-1] % LANES == 0 and d % 2 == 0 and x.dtype in ("float32", "bfloat16")


def rotate(x, cos, sin, *, transposed: bool = False):
    """Compute x cos + partner(x) sin for x (b n h*d) and tables (n d) or (b n d) in float32.

    `partner` swaps channels 2i and 2i + 1.

    Args:
      transposed: compute the transpose of that map, x cos + partner(x sin), instead.
    """
    (b, n, width), d = x.shape, cos.shape[-1]
    tables, tokens = [table.reshape(-1, n, d) for table in (cos, sin)], min(n, TOKENS)
    array = pl.BlockSpec((1, tokens, width), lambda i, j: (j, i, 0))
    row = (lambda i, j: (j, i, 0)) if len(tables[0]) > 1 else (lambda i, j: (0, i, 0))
    table = pl.BlockSpec((1, tokens, d), row)
    return pl.pallas_call(
        functools.partial(_kernel, transposed=transposed),
        grid=(pl.cdiv(n, tokens), b),
        in_specs=[array, table, table],
        out_specs=array,
        out_shape=jax.ShapeDtypeStruct(x.shape, x.dtype),
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel", "arbitrary")),
        cost_estimate=pl.CostEstimate(flops=3 * x.size, transcendentals=0, bytes_accessed=2 * x.nbytes),
        name="rotate",
    )(x, *tables)


def _kernel(x_ref, cos_ref, sin_ref, out_ref, *, transposed):
    d = cos_ref.shape[-1]
    copies = math.lcm(d, LANES) // d  # heads that fill whole registers
    cos, sin = (jnp.concatenate([ref[0]] * copies, axis=-1) for ref in (cos_ref, sin_ref))
    even = lax.broadcasted_iota(jnp.int32, (1, LANES), 1) % 2 == 0
    for first in range(0, x_ref.shape[-1], LANES):
        here, there = pl.ds(first, LANES), first % (copies * d)
        c, s = (table[:, there : there + LANES] for table in (cos, sin))
        x = x_ref[0, :, here].astype(jnp.float32)
        y = x * s if transposed else x
        partner = jnp.where(even, pltpu.roll(y, LANES - 1, 1), pltpu.roll(y, 1, 1))
        out_ref[0, :, here] = (x * c + (partner if transposed else partner * s)).astype(out_ref.dtype)
