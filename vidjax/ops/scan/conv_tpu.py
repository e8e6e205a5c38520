"""The causal convolution and its SiLU as two TPU kernels that walk the tokens once, with the last few in registers.

Arrays are cut into blocks as for the selective scan, with taps in place of states. The backward kernel walks the other
way and recomputes the SiLU's input. At the end of a chunk, it needs a few tokens of the chunk that it visits next.
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from vidjax.ops.scan import tpu_blocks
from vidjax.ops.scan.tpu_blocks import compiler_params, largest
from vidjax.ops.scan.tpu_tokens import UNROLL, for_all_channels, load, locate, loop, store, valid_tokens
from vidjax.ops.tpu import output

HALO = 8  # tokens in the block beside a chunk; chunks are multiples of this
MOST_TAPS = HALO + 1


def fits(x, kernel) -> bool:
    """Return whether the taps reach no further than the block beside a chunk, and `tpu_blocks.fits` holds."""
    return kernel.shape[0] <= MOST_TAPS and tpu_blocks.fits(x, x, kernel.shape[0])


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def pallas_tpu(x, kernel, bias, reverse):
    """See `vidjax.ops.causal_conv_silu`."""
    return _conv_forward(x, kernel, bias, reverse)[0]


def _conv_forward(x, kernel, bias, reverse):
    blocks = largest(x, x, kernel.shape[0])
    tokens = blocks.tokens(flipped=reverse)
    y = pl.pallas_call(
        functools.partial(forward, sizes=(blocks.length, blocks.filled), reverse=reverse),
        grid=blocks.grid,
        in_specs=[tokens, *blocks.of_channels(of_rows=False)],
        out_specs=tokens,
        out_shape=output(x, (blocks.length, blocks.batch, blocks.filled), x.dtype),
        scratch_shapes=[blocks.scratch("s", "r", "d")],
        compiler_params=compiler_params(),
        name="causal_conv_silu",
    )(blocks.to_tokens(x), blocks.to_rows(kernel), blocks.to_rows(bias))
    return blocks.from_tokens(y), (x, kernel, bias)


def _conv_backward(reverse, residuals, dy):
    x, kernel, bias = residuals
    blocks = largest(x, x, kernel.shape[0])
    tokens, seen = blocks.tokens(flipped=not reverse), blocks.to_tokens(x)
    dx, dkernel, dbias = pl.pallas_call(
        functools.partial(backward, sizes=(blocks.length, blocks.filled), reverse=reverse),
        grid=blocks.grid,
        in_specs=[
            tokens,
            beside_chunk(blocks, reverse, flipped=not reverse),
            *blocks.of_channels(of_rows=False),
            tokens,
        ],
        out_specs=[tokens, *blocks.of_channels(of_rows=True)],
        out_shape=[
            output(x, (blocks.length, blocks.batch, blocks.filled), x.dtype),
            output(x, (blocks.states, blocks.rows, blocks.count * blocks.width)),
            output(x, (blocks.rows, blocks.count * blocks.width)),
        ],
        scratch_shapes=[blocks.scratch("s", "r", "d")],
        compiler_params=compiler_params(),
        name="causal_conv_silu_backward",
    )(seen, seen, blocks.to_rows(kernel), blocks.to_rows(bias), blocks.to_tokens(dy))
    gradients = blocks.from_tokens(dx), blocks.from_rows(dkernel), blocks.from_rows(dbias)
    return tuple(g.astype(operand.dtype) for g, operand in zip(gradients, residuals, strict=True))


pallas_tpu.defvjp(_conv_forward, _conv_backward)


def beside_chunk(blocks, reverse, flipped):
    """Spec of the block of tokens next to a chunk, on the side that the taps reach; any block if there is none."""
    per_chunk, last = blocks.chunk // HALO, pl.cdiv(blocks.length, HALO) - 1

    def at(r, d, n):
        chunk = blocks.at(n, flipped)
        return jnp.clip((chunk + 1) * per_chunk if reverse else chunk * per_chunk - 1, 0, last), r, d

    return pl.BlockSpec((HALO, *blocks.tokens(flipped).block_shape[1:]), at)


def forward(x, kernel, bias, y, before, *, sizes, reverse):
    """Write y (t b d) from x (t b d), kernel (k r d) and bias (r d).

    Blocks may reach beyond the `sizes` (l, d) of the arrays. Scratch: the tokens before the chunk (k r d), furthest
    first; the last entry is unused.
    """
    tokens, others = x.shape[0], kernel.shape[0] - 1
    valid = valid_tokens(tokens, sizes[0], reverse)
    clear_at_first(before)

    def channels(lanes, first):
        parts = locate(lanes, x, kernel, valid, sizes[1])

        def token(i, last):
            t = tokens - 1 - i if reverse else i
            seen = (*last, load(x, t, parts))
            u = bias[:, lanes] + weigh(kernel, lanes, seen)
            store(y, t, parts, u * sigmoid(u))
            return seen[1:]

        _put(before, lanes, loop(tokens, token, _get(before, lanes, others)))

    for_all_channels(channels, kernel.shape[2])


def backward(x, beside, kernel, bias, dy, dx, dkernel, dbias, after, *, sizes, reverse):
    """Write dx (t b d), and add to the gradients of kernel (k r d) and bias (r d).

    The grid visits the chunks in the opposite order. Scratch: the gradients (k r d) of u, the SiLU's input, at the
    tokens after the chunk; the last entry is unused.
    """
    tokens, others = x.shape[0], kernel.shape[0] - 1
    valid = valid_tokens(tokens, sizes[0], not reverse)
    clear_at_first(after, dkernel, dbias)

    def channels(lanes, first):
        parts = locate(lanes, x, kernel, valid, sizes[1])
        outside = list(load_beside(beside, parts, others, tokens, reverse, flipped=not reverse))

        def token_at(i):
            """Return the i-th token of the walk; past the chunk's end, one of those beside it, nearest first."""
            if isinstance(i, int) and i >= tokens:
                return outside[i - tokens]
            return load(x, i if reverse else tokens - 1 - i, parts)

        def turn(i, carry):
            near, ahead, dkernel_t, dbias_t = carry
            t = i if reverse else tokens - 1 - i
            seen = (token_at(i + others), *near)
            u = bias[:, lanes] + weigh(kernel, lanes, seen)
            gate = sigmoid(u)
            du = load(dy, t, parts) * gate * (1 + u * (1 - gate))
            ahead = (*ahead, du)
            store(dx, t, parts, weigh(kernel, lanes, ahead))
            dkernel_t = tuple(sum_ + du * each for sum_, each in zip(dkernel_t, seen, strict=True))
            return seen[:-1], ahead[1:], dkernel_t, dbias_t + du

        near = tuple(token_at(i) for i in reversed(range(others)))
        carry = near, _get(after, lanes, others), _get(dkernel, lanes, others + 1), dbias[:, lanes]
        carry = loop(tokens - UNROLL, turn, carry)
        for i in range(tokens - UNROLL, tokens):
            carry = turn(i, carry)
        _, ahead, dkernel_t, dbias[:, lanes] = carry
        _put(after, lanes, ahead)
        _put(dkernel, lanes, dkernel_t)

    for_all_channels(channels, kernel.shape[2])


def load_beside(beside, parts, count, tokens, reverse, flipped):
    """Load the `count` tokens of `beside_chunk` nearest to the chunk, nearest first; zeros where none exist."""
    if reverse:
        parts = [(at, exist - tokens) for at, exist in parts]
    else:
        first_chunk = pl.program_id(2) == (pl.num_programs(2) - 1 if flipped else 0)
        parts = [(at, jnp.where(first_chunk | (exist <= 0), 0, HALO)) for at, exist in parts]
    return (load(beside, i if reverse else HALO - 1 - i, parts) for i in range(count))


def clear_at_first(*refs):
    @pl.when(pl.program_id(2) == 0)
    def _():
        for ref in refs:
            ref[...] = jnp.zeros_like(ref)


def weigh(kernel, lanes, seen):
    """Sum the tokens, each weighted by its tap; both are in the same order."""
    return sum(kernel[i, :, lanes] * token for i, token in enumerate(seen))


def sigmoid(u):
    """Compute the sigmoid from the TPU's native tanh, which saves a division."""
    return 0.5 + 0.5 * jnp.tanh(0.5 * u)


def _get(ref, lanes, count):
    return tuple(ref[i, :, lanes] for i in range(count))


def _put(ref, lanes, values):
    for i, value in enumerate(values):
        ref[i, :, lanes] = value
