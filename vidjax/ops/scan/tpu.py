"""The selective scan as two TPU kernels, forward and backward.

The forward kernel saves the state before each chunk, from which the backward kernel recomputes the chunk's states.
Inputs may be bfloat16; the arithmetic is float32. Time is the last axis of the grid, in either direction; nothing is
flipped in memory.
"""

import functools

import jax
import jax.numpy as jnp
from einops import rearrange
from jax.experimental import pallas as pl

from vidjax.ops.scan import tpu_blocks, tpu_kernels
from vidjax.ops.scan.tpu_blocks import compiler_params, largest
from vidjax.ops.scan.tpu_tokens import LANES
from vidjax.ops.tpu import output


def fits(x, dt, A) -> bool:
    """Return whether x is not empty, the dtypes are float32 or bfloat16, and a short chunk fits in a core's memory."""
    return tpu_blocks.fits(x, dt, A.shape[1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(7, 8))
def pallas_tpu(x, dt, A, B, C, D, bias, softplus, reverse):
    """See `vidjax.ops.selective_scan`."""
    return _scan_forward(x, dt, A, B, C, D, bias, softplus, reverse)[0]


def _scan_forward(x, dt, A, B, C, D, bias, softplus, reverse):
    operands = x, dt, A, B, C, D, bias
    blocks = largest(x, dt, A.shape[1])
    spread, by_token = blocks.scratch("t", "s", "r", "lane"), blocks.scratch("t", "r", "lane")
    y, states = pl.pallas_call(
        _body(tpu_kernels.forward, blocks, softplus, reverse),
        grid=blocks.grid,
        in_specs=_in_specs(blocks, flipped=reverse),
        out_specs=[blocks.tokens(flipped=reverse), blocks.boundaries(flipped=reverse)],
        out_shape=[
            output(x, (blocks.length, blocks.batch, blocks.filled), x.dtype),
            output(x, (blocks.chunks, blocks.states, blocks.rows, blocks.count * blocks.width)),
        ],
        scratch_shapes=[blocks.scratch("s", "r", "d"), spread, spread, by_token],
        compiler_params=compiler_params(),
        name="selective_scan",
    )(*_to_kernel(blocks, *operands))
    return blocks.from_tokens(y), (*operands, states)


def _scan_backward(softplus, reverse, residuals, dy):
    *operands, states = residuals
    x, dt, A, *_ = operands
    blocks, flipped = largest(x, dt, A.shape[1]), not reverse
    tokens, of_B = blocks.tokens(flipped), blocks.per_state_of_blocks(flipped)
    of_A, of_D = blocks.of_channels(of_rows=True)
    # dB and dC fill whole registers. Smaller copies would be loops, whose number of turns is missing in the compiler's
    # schedule, from which kernel times are estimated.
    per_state = output(x, (blocks.count, blocks.length, blocks.rows, LANES))
    per_channel = output(x, (blocks.rows, blocks.count * blocks.width))
    spread, by_token = blocks.scratch("t", "s", "r", "lane"), blocks.scratch("t", "r", "lane")
    dx, ddt, dA, dB, dC, dD, dbias = pl.pallas_call(
        _body(tpu_kernels.backward, blocks, softplus, reverse),
        grid=blocks.grid,
        in_specs=[*_in_specs(blocks, flipped), tokens, blocks.boundaries(flipped)],
        out_specs=[tokens, tokens, of_A, of_B, of_B, of_D, of_D],
        out_shape=[
            output(x, (blocks.length, blocks.batch, blocks.filled), x.dtype),
            output(x, (blocks.length, blocks.batch, blocks.filled), dt.dtype),
            output(x, (blocks.states, blocks.rows, blocks.count * blocks.width)),
            per_state,
            per_state,
            per_channel,
            per_channel,
        ],
        scratch_shapes=[blocks.scratch("s", "r", "d"), spread, spread, by_token, by_token, spread, by_token, spread],
        compiler_params=compiler_params(),
        name="selective_scan_backward",
    )(*_to_kernel(blocks, *operands), blocks.to_tokens(dy), states)
    gradients = (
        *map(blocks.from_tokens, (dx, ddt)),
        blocks.from_rows(dA).T,
        *map(blocks.from_blocks, (dB, dC)),
        *map(blocks.from_rows, (dD, dbias)),
    )
    return tuple(g.astype(operand.dtype) for g, operand in zip(gradients, operands, strict=True))


pallas_tpu.defvjp(_scan_forward, _scan_backward)


def _body(kernel, blocks, softplus, reverse):
    return functools.partial(kernel, sizes=(blocks.length, blocks.filled), softplus=softplus, reverse=reverse)


def _in_specs(blocks, flipped):
    """Specs of the arrays that `_to_kernel` returns."""
    A, D = blocks.of_channels(of_rows=False)
    tokens, per_state = blocks.tokens(flipped), blocks.per_state(flipped)
    return [tokens, tokens, A, per_state, per_state, D, D]


def _to_kernel(blocks, x, dt, A, B, C, D, bias):
    """Make tokens time-major with padded channels, and repeat A, D and the bias for every row of a block."""
    x, dt = map(blocks.to_tokens, (x, dt))
    A, D, bias = map(blocks.to_rows, (A.astype(jnp.float32).T / tpu_kernels.LN2, D, bias))
    B, C = (rearrange(array, "b l s -> l b s") for array in (B, C))
    return x, dt, A, B, C, D, bias
