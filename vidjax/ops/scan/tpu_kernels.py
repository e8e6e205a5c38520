"""Bodies of the TPU kernels of the selective scan, for a chunk of tokens (t b d) with up to 8 rows b and s states.

A register holds one state of 8 rows (on sublanes) and 128 channels (on lanes). If the batch has fewer rows, parts of
the channels are stacked to make r rows. A kernel walks over the chunk once for every 128 channels of a part, so that
their states stay in registers. Every walk needs B and C with a row's value on all lanes: the first walk broadcasts them
into scratch, and the others read them there.
"""

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from vidjax.ops.scan.tpu_tokens import LANES, for_all_channels, load, locate, loop, store, valid_tokens

LN2 = 0.6931471805599453


def forward(x, dt, A, B, C, D, bias, y, states, state, b, c, steps, *, sizes, softplus, reverse):
    """Write y (t b d) and the states (1 s r d) before the chunk.

    Reads x and dt (t b d), B and C (t b s), D and dt's bias (r d), and A (s r d) divided by ln 2, because the hardware
    only computes powers of two. Blocks may reach beyond the `sizes` (l, d) of the arrays.
    Scratch: the running state (s r d); B and C on all lanes (t s r lane); the step sizes (t r lane).
    """
    tokens, size = x.shape[0], A.shape[0]
    valid = valid_tokens(tokens, sizes[0], reverse)

    @pl.when(pl.program_id(2) == 0)
    def _():
        state[...] = jnp.zeros_like(state)

    states[0] = state[...]

    def channels(lanes, first):
        parts = locate(lanes, x, A, valid, sizes[1])

        step = _step_sizes(dt, bias[:, lanes] if softplus else None, parts, steps)

        def token(i, h):
            t = tokens - 1 - i if reverse else i
            x_t, dt_t = load(x, t, parts), step(t)
            if first:
                b[t], c[t] = (spread(load(ref, t, [(..., valid)] * len(parts)), size) for ref in (B, C))
            h = jnp.exp2(dt_t * A[:, :, lanes]) * h + dt_t * x_t * b[t]
            store(y, t, parts, (h * c[t]).sum(axis=0) + D[:, lanes] * x_t)
            return h

        state[:, :, lanes] = loop(tokens, token, state[:, :, lanes])

    for_all_channels(channels, A.shape[2])


def backward(
    x, dt, A, B, C, D, bias, dy, states, dx, ddt, dA, dB, dC, dD, dbias, g, b, c, steps, slopes, kept, for_B, for_C,
    *, sizes, softplus, reverse,
):  # fmt: skip
    """Write the gradients of x and dt (t b d) and of B and C (1 t r lane); add to those of A (s r d), D and bias (r d).

    The grid visits the chunks in the opposite order. Further scratch: the gradient g (s r d) of the running state; the
    softplus's derivatives (t r lane); the decayed state to which each token adds (t s r lane); dB, summed over lanes
    (t r lane), and dC, not yet summed over lanes (t s r lane).
    """
    tokens, size = x.shape[0], A.shape[0]
    valid = valid_tokens(tokens, sizes[0], not reverse)

    @pl.when(pl.program_id(2) == 0)
    def _():
        for ref in (g, dA, dD, dbias):
            ref[...] = jnp.zeros_like(ref)

    def channels(lanes, first):
        parts = locate(lanes, x, A, valid, sizes[1])

        step = _step_sizes(dt, bias[:, lanes] if softplus else None, parts, steps, slopes)

        def remember(i, h):
            t = tokens - 1 - i if reverse else i
            x_t, dt_t = load(x, t, parts), step(t)
            if first:
                b[t], c[t] = (spread(load(ref, t, [(..., valid)] * len(parts)), size) for ref in (B, C))
            h_kept = jnp.exp2(dt_t * A[:, :, lanes]) * h
            kept[i] = h_kept
            h = h_kept + dt_t * x_t * b[t]
            to_C = h * load(dy, t, parts)
            for_C[t] = to_C if first else for_C[t] + to_C
            return h

        loop(tokens, remember, states[0, :, :, lanes])

        def back(i, carry):
            i = tokens - 1 - i
            t = tokens - 1 - i if reverse else i
            x_t, dt_t, dy_t = load(x, t, parts), step(t), load(dy, t, parts)
            g_t, dA_t, dD_t, dbias_t = carry
            g_t = g_t + dy_t * c[t]
            written = (g_t * b[t]).sum(axis=0)  # gradient of dt x
            to_B = gather(g_t * (dt_t * x_t))
            for_B[t] = to_B if first else for_B[t] + to_B
            exponent = g_t * kept[i]  # gradient of dt A
            g_t = g_t * jnp.exp2(dt_t * A[:, :, lanes])
            store(dx, t, parts, written * dt_t + D[:, lanes] * dy_t)
            slope = slopes[t] if softplus else 1.0
            ddt_t = slope * ((exponent * A[:, :, lanes]).sum(axis=0) * LN2 + written * x_t)
            store(ddt, t, parts, ddt_t)
            return g_t, dA_t + exponent * dt_t, dD_t + dy_t * x_t, dbias_t + ddt_t

        sums = loop(tokens, back, (g[:, :, lanes], dA[:, :, lanes], dD[:, lanes], dbias[:, lanes]))
        g[:, :, lanes], dA[:, :, lanes], dD[:, lanes], dbias[:, lanes] = sums

    for_all_channels(channels, A.shape[2])

    def write(t, _):
        dB[0, t] = for_B[t]
        dC[0, t] = gather(for_C[t])

    loop(tokens, write, None)


def softplus_of(before):
    """Compute the softplus without overflow."""
    return jnp.maximum(before, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(before)))


def spread(token, size, first=0):
    """Turn (r lane) into (s r lane): broadcast each of `size` lanes, from `first` on, to all lanes of a register."""
    lanes = range(first, first + size)
    return jnp.stack([jnp.broadcast_to(token[:, s : s + 1], (token.shape[0], LANES)) for s in lanes])


def gather(states, first=0):
    """Turn (s r lane) into (r lane): sum over lanes, and put the s sums on the lanes from `first` on, among zeros."""
    lane = jax.lax.broadcasted_iota(jnp.int32, states.shape[1:], 1)
    gathered = jnp.zeros(states.shape[1:], jnp.float32)
    for s in range(states.shape[0]):
        gathered = jnp.where(lane == first + s, states[s].sum(axis=1, keepdims=True), gathered)
    return gathered


def _step_sizes(dt, bias, parts, steps, slopes=None):
    """Return a function that maps a token's number to its step sizes.

    Without a `bias`, dt is the step size. With one, a separate loop first writes all step sizes to `steps` and, if
    `slopes` is given, the softplus's derivatives to it. The states leave no registers for a softplus in the main loop.
    """
    if bias is None:
        return lambda t: load(dt, t, parts)

    def token(t, _):
        before = load(dt, t, parts, nothing=-jnp.inf) + bias
        steps[t] = step = softplus_of(before)
        if slopes is not None:
            slopes[t] = jnp.exp(before - step)

    loop(dt.shape[0], token, None)
    return lambda t: steps[t]
