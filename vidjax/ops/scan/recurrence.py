"""The recurrence of the selective scan and its gradient in plain JAX, over chunks (n t b ...) with states (b s d).

Sums over states are unrolled and sums over channels are matrix products, so that XLA creates few arrays as large as the
states. A is (s d), so that channels are the fastest axis.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vidjax.ops.scan.mesh import vary_alike

State = Float[Array, "b s d"]


def forward(state: State, A, chunks, reverse: bool):
    """Scan the chunks of x, dt, B, C; return the last state, y (n t b d), and the state (n b s d) before each chunk."""

    def step(state, token):
        x, dt, B, C = _float32(token)
        state = jnp.exp(dt[:, None] * A) * state + (dt * x)[:, None] * B[..., None]
        return state, _over_states(state, C[..., None])

    def chunk(state, tokens):
        last, y = jax.lax.scan(step, state, tokens, reverse=reverse)
        return last, (y, state)

    last, (y, states) = jax.lax.scan(chunk, state, chunks, reverse=reverse)
    return last, y, states


def backward(g: State, A, states, chunks, reverse: bool):
    """Scan the chunks of x, dt, B, C, dy in the opposite direction, beginning with g, the gradient of the last state.

    Returns:
      the gradient (b s d) of A, separate for each row; and the gradients (n t b ...) of x, dt, B and C.
    """

    def remember(state, token):
        x, dt, B, dy = _float32(token)
        after = jnp.exp(dt[:, None] * A) * state + (dt * x)[:, None] * B[..., None]
        return after, (state, jnp.einsum("bsd,bd->bs", after, dy))

    def step(carry, token):
        (g, dA), (x, dt, B, C, dy, before) = carry, _float32(token)
        g = g + dy[:, None] * C[..., None]
        dB = jnp.einsum("bsd,bd->bs", g, dt * x)
        written = _over_states(g, B[..., None])  # gradient of dt x
        g = g * jnp.exp(dt[:, None] * A)
        exponent = g * before  # gradient of dt A
        ddt = _over_states(exponent, A[None]) + written * x
        return (g, dA + exponent * dt[:, None]), (written * dt, ddt, dB)

    def chunk(carry, operands):
        first, (x, dt, B, C, dy) = operands
        _, (before, dC) = jax.lax.scan(remember, first, (x, dt, B, dy), reverse=reverse)
        carry, gradients = jax.lax.scan(step, carry, (x, dt, B, C, dy, before), reverse=not reverse)
        return carry, (*gradients, dC)

    (_, dA), gradients = jax.lax.scan(chunk, (g, jnp.zeros_like(g)), (states, chunks), reverse=not reverse)
    return dA, gradients


def gradient_of_first(g: State, A, dt, C, dy, reverse: bool) -> State:
    """Return the gradient of the state before the chunks, given g, the gradient of the state after them."""

    def step(g, token):
        dt, C, dy = _float32(token)
        return (g + dy[:, None] * C[..., None]) * jnp.exp(dt[:, None] * A), None

    def chunk(g, tokens):
        return jax.lax.scan(step, g, tokens, reverse=not reverse)

    return jax.lax.scan(chunk, g, (dt, C, dy), reverse=not reverse)[0]


def step_sizes(dt, bias: Float[Array, " d"], softplus: bool):
    """Return softplus(dt + bias) in float32 if `softplus`, otherwise dt unchanged."""
    return jax.nn.softplus(dt.astype(jnp.float32) + bias.astype(jnp.float32)) if softplus else dt


def empty(A, chunk: Float[Array, "n t b d"]) -> State:
    """Return zero states for the rows of a chunk."""
    return vary_alike(jnp.zeros((chunk.shape[2], *A.shape), jnp.float32), chunk)[0]


def _float32(operands):
    return tuple(operand.astype(jnp.float32) for operand in operands)


def _over_states(states: State, weights: Float[Array, "#b s #d"]) -> Float[Array, "b d"]:
    first, *others = (states[:, i] * weights[:, i] for i in range(states.shape[1]))
    return sum(others, first)
