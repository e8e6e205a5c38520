"""The selective scan of Mamba (Gu & Dao 2023, arXiv:2312.00752, algorithm 2): one signature, several implementations.

`associative` is `jax.lax.associative_scan` over the whole length: the oracle, and a state for every token in memory.
`chunked` walks over the sequence and keeps the states between chunks only; its backward pass recomputes the others.
"""

import functools

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float

from vidjax.errors import ConfigError

# Tokens a chunk: 16 to 128 take the same time on a CPU, and short sequences are filled up to a multiple of it. Eight
# steps unrolled are a tenth faster there and compile twice as long.
CHUNK = 16


def selective_scan(
    x: Float[Array, "b l d"],
    dt: Float[Array, "b l d"],
    A: Float[Array, "d s"],
    B: Float[Array, "b l s"],
    C: Float[Array, "b l s"],
    D: Float[Array, "d"] | None = None,
    *,
    reverse: bool = False,
    implementation: str | None = None,
) -> Float[Array, "b l d"]:
    """y_t = C_t h_t + D x_t with h_t = exp(dt_t A) h_(t-1) + dt_t B_t x_t, for each of d channels with s states.

    States are float32 whatever the inputs are. Differentiable once in reverse mode, in every array.

    Args:
      x: inputs of any length, float32 or bfloat16.
      dt: step sizes after the softplus, positive.
      A: decay rates, negative.
      B, C: what a token writes to the states and reads from them.
      D: weight of the skip connection; None for none.
      reverse: run from the last token to the first; nothing is flipped in memory.
      implementation: one of `IMPLEMENTATIONS`. None takes `chunked`.

    Returns:
      an array like x, in x's dtype.

    Raises:
      ConfigError: for an unknown implementation; a name never falls back to another.
    """
    if implementation is None:
        implementation = "chunked"
    elif implementation not in IMPLEMENTATIONS:
        raise ConfigError(f"scan={implementation!r} is unknown; choose one of {', '.join(IMPLEMENTATIONS)}")
    D = jnp.zeros(A.shape[0], jnp.float32) if D is None else D
    return IMPLEMENTATIONS[implementation](x, dt, A, B, C, D, reverse)


def _associative(x, dt, A, B, C, D, reverse):
    x32, dt, A, B, C, D = (operand.astype(jnp.float32) for operand in (x, dt, A, B, C, D))
    decay = jnp.exp(dt[..., None] * A)
    written = (dt * x32)[..., None] * B[:, :, None]
    _, states = jax.lax.associative_scan(_compose, (decay, written), axis=1, reverse=reverse)
    return ((states * C[:, :, None]).sum(axis=-1) + D * x32).astype(x.dtype)


def _compose(first, second):
    """Two maps h -> decay h + written, one after the other."""
    return second[0] * first[0], second[0] * first[1] + second[1]


def _chunked(x, dt, A, B, C, D, reverse):
    read = _scan(x, dt, A.astype(jnp.float32).T, B, C, reverse)
    return (read + D.astype(jnp.float32) * x.astype(jnp.float32)).astype(x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _scan(x, dt, A, B, C, reverse):
    """C_t h_t in float32; A is (s d), so that channels are the fastest axis of the states (b s d)."""
    return _scan_forward(x, dt, A, B, C, reverse)[0]


def _scan_forward(x, dt, A, B, C, reverse):
    def step(state, token):
        x, dt, B, C = _float32(token)
        state = jnp.exp(dt[:, None] * A) * state + (dt * x)[:, None] * B[..., None]
        return state, (state * C[..., None]).sum(axis=1)

    def chunk(state, tokens):
        last, y = jax.lax.scan(step, state, tokens, reverse=reverse)
        return last, (y, state)

    state = jnp.zeros((x.shape[0], *A.shape), jnp.float32)
    _, (y, states) = jax.lax.scan(chunk, state, _to_chunks(x, dt, B, C), reverse=reverse)
    return _from_chunks(y, x.shape[1]), (x, dt, A, B, C, states)


def _scan_backward(reverse, residuals, dy):
    """Walks the chunks the other way; g is the gradient of the state that a token hands to the next."""
    x, dt, A, B, C, states = residuals

    def remember(state, token):
        x, dt, B = _float32(token)
        return jnp.exp(dt[:, None] * A) * state + (dt * x)[:, None] * B[..., None], state

    def step(carry, token):
        (g, dA), (x, dt, B, C, dy, before) = carry, _float32(token)
        decay = jnp.exp(dt[:, None] * A)
        state = decay * before + (dt * x)[:, None] * B[..., None]
        g = g + dy[:, None] * C[..., None]
        dC = (state * dy[:, None]).sum(axis=2)
        dB = (g * (dt * x)[:, None]).sum(axis=2)
        written = (g * B[..., None]).sum(axis=1)  # gradient of dt x
        g = g * decay
        exponent = g * before  # gradient of dt A
        ddt = (exponent * A).sum(axis=1) + written * x
        return (g, dA + exponent * dt[:, None]), (written * dt, ddt, dB, dC)

    def chunk(carry, operands):
        (x, dt, B, C, dy), first = operands
        _, before = jax.lax.scan(remember, first, (x, dt, B), reverse=reverse)
        return jax.lax.scan(step, carry, (x, dt, B, C, dy, before), reverse=not reverse)

    # One dA a row, summed at the end: rows that lie on several devices then need not talk for every token.
    zeros = jnp.zeros_like(states[0])
    operands = (_to_chunks(x, dt, B, C, dy), states)
    (_, dA), gradients = jax.lax.scan(chunk, (zeros, zeros), operands, reverse=not reverse)
    dx, ddt, dB, dC = (
        _from_chunks(gradient, x.shape[1]).astype(operand.dtype)
        for gradient, operand in zip(gradients, (x, dt, B, C), strict=True)
    )
    return dx, ddt, dA.sum(axis=0), dB, dC


_scan.defvjp(_scan_forward, _scan_backward)


def _float32(operands):
    return tuple(operand.astype(jnp.float32) for operand in operands)


def _to_chunks(*operands: Float[Array, "b l d"]) -> tuple[Float[Array, "n t b d"], ...]:
    """Cut into chunks; the last is filled with dt = 0, which leaves a state as it is in either direction."""
    fill = -operands[0].shape[1] % CHUNK
    filled = (jnp.pad(operand, ((0, 0), (0, fill), (0, 0))) for operand in operands)
    return tuple(rearrange(operand, "b (n t) d -> n t b d", t=CHUNK) for operand in filled)


def _from_chunks(chunks: Float[Array, "n t b d"], length: int) -> Float[Array, "b l d"]:
    return rearrange(chunks, "n t b d -> b (n t) d")[:, :length]


IMPLEMENTATIONS = {"associative": _associative, "chunked": _chunked}
