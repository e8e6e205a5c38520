"""The selective scan in portable JAX: states are kept only between chunks of tokens, and gradients are hand-written.

On a CPU, the code scans a few rows at a time, so that the states of a chunk stay in cache. Elsewhere it cuts the
sequence into stretches of a few chunks and scans all stretches at once, each as if it were a row: first from an empty
state, then again from the state left by the stretches before it.
"""

import functools

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float

from vidjax.ops import platforms
from vidjax.ops.scan import recurrence

CHUNK = 16  # the most tokens per chunk; 8 to 32 take about the same time on a CPU
# The most bytes of one token's states in a turn of rows; the states of a chunk then fit in a CPU's L2 cache.
CACHED = 96 * 1024
STRETCH = 4  # chunks; a backward pass holds the states of one chunk per stretch, so a quarter of all states


def chunked(x, dt, A, B, C, D, bias, softplus, reverse):
    """See `vidjax.ops.selective_scan`."""
    read = _scan(x, recurrence.step_sizes(dt, bias, softplus), A.astype(jnp.float32).T, B, C, reverse)
    return (read + D.astype(jnp.float32) * x.astype(jnp.float32)).astype(x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _scan(x, dt, A, B, C, reverse):
    """Return C_t h_t for all t in float32; A is (s d)."""
    return _scan_forward(x, dt, A, B, C, reverse)[0]


def _scan_forward(x, dt, A, B, C, reverse):
    forward = by_platform(rows_forward, stretches_forward, reverse)
    y, states = forward(A, _to_chunks(x, dt, B, C))
    return _from_chunks(y, x.shape[1]), (x, dt, A, B, C, states)


def _scan_backward(reverse, residuals, dy):
    x, dt, A, B, C, states = residuals
    backward = by_platform(rows_backward, stretches_backward, reverse)
    dA, gradients = backward(A, states, _to_chunks(x, dt, B, C, dy))
    dx, ddt, dB, dC = (
        _from_chunks(gradient, x.shape[1]).astype(operand.dtype)
        for gradient, operand in zip(gradients, (x, dt, B, C), strict=True)
    )
    # dA is summed over rows only here, so that devices with different rows need not communicate for every token.
    return dx, ddt, dA.sum(axis=0), dB, dC


_scan.defvjp(_scan_forward, _scan_backward)


def by_platform(rows, stretches, reverse):
    cpu, default = (functools.partial(form, reverse=reverse) for form in (rows, stretches))
    return functools.partial(platforms.dispatch, cpu=cpu, default=default)


def rows_forward(A, chunks, reverse):
    """Return y (n t b d) and the states (n b s d) before each chunk, computed a few rows at a time."""

    def walk(chunks):
        return recurrence.forward(recurrence.empty(A, chunks[0]), A, chunks, reverse)[1:]

    y, states = jax.lax.map(walk, _to_turns(A, chunks))
    return rearrange(y, "k n t r d -> n t (r k) d"), rearrange(states, "k n r s d -> n (r k) s d")


def rows_backward(A, states, chunks, reverse):
    """Return each row's dA (b s d) and the gradients (n t b ...) of x, dt, B and C, computed a few rows at a time."""

    def walk(operands):
        states, chunks = operands
        return recurrence.backward(recurrence.empty(A, chunks[0]), A, states, chunks, reverse)

    chunks = _to_turns(A, chunks)
    states = rearrange(states, "n (r k) s d -> k n r s d", k=chunks[0].shape[0])
    dA, gradients = jax.lax.map(walk, (states, chunks))
    return rearrange(dA, "k r s d -> (r k) s d"), tuple(rearrange(g, "k n t r d -> n t (r k) d") for g in gradients)


def _to_turns(A, chunks):
    """Split rows into turns of a few rows each, spread over the batch so that every device has some of them."""
    rows, most = chunks[0].shape[2], max(1, CACHED // A.nbytes)
    together = max(r for r in range(1, most + 1) if rows % r == 0)
    return tuple(rearrange(chunk, "n t (r k) d -> k n t r d", r=together) for chunk in chunks)


def stretches_forward(A, chunks, reverse):
    """Return the same as `rows_forward`, computed for all stretches at once."""
    n, _, b, _ = chunks[0].shape
    chunks = _to_stretches(chunks)
    last, _, _ = recurrence.forward(recurrence.empty(A, chunks[0]), A, chunks, reverse)
    first = _hand_over(last, A, chunks[1], b, reverse)
    _, y, states = recurrence.forward(first, A, chunks, reverse)
    y = rearrange(y, "m t (k b) d -> (k m) t b d", b=b)
    return y[:n], rearrange(states, "m (k b) s d -> (k m) b s d", b=b)[:n]


def stretches_backward(A, states, chunks, reverse):
    """Return the same as `rows_backward`, computed for all stretches at once."""
    n, _, b, _ = chunks[0].shape
    _, dt, _, C, dy = chunks = _to_stretches(chunks)
    states = rearrange(_fill(states, STRETCH), "(k m) b s d -> m (k b) s d", m=STRETCH)
    first = recurrence.gradient_of_first(recurrence.empty(A, dt), A, dt, C, dy, reverse)
    last = _hand_over(first, A, dt, b, not reverse)
    dA, gradients = recurrence.backward(last, A, states, chunks, reverse)
    gradients = tuple(rearrange(gradient, "m t (k b) d -> (k m) t b d", b=b)[:n] for gradient in gradients)
    return rearrange(dA, "(k b) s d -> k b s d", b=b).sum(axis=0), gradients


def _to_stretches(chunks):
    return tuple(rearrange(_fill(chunk, STRETCH), "(k m) t b d -> m t (k b) d", m=STRETCH) for chunk in chunks)


def _hand_over(left: Float[Array, "r s d"], A, dt, b: int, reverse: bool) -> Float[Array, "r s d"]:
    """Return the state with which each stretch begins, given the states at the ends of stretches that begin empty."""
    kept = jnp.exp(dt.astype(jnp.float32).sum(axis=(0, 1))[:, None] * A)
    left, kept = (rearrange(array, "(k b) s d -> k b s d", b=b) for array in (left, kept))

    def stretch(state, own):
        kept, left = own
        return kept * state + left, state

    _, before = jax.lax.scan(stretch, jnp.zeros_like(left[0]), (kept, left), reverse=reverse)
    return rearrange(before, "k b s d -> (k b) s d")


def _to_chunks(*operands: Float[Array, "b l d"]) -> tuple[Float[Array, "n t b d"], ...]:
    """Cut tokens into equal chunks and pad the last with zeros; a step size of 0 does not change the states."""
    chunks = -(-operands[0].shape[1] // CHUNK)
    by_token = (_fill(rearrange(operand, "b l d -> l b d"), chunks) for operand in operands)
    return tuple(rearrange(tokens, "(n t) b d -> n t b d", n=chunks) for tokens in by_token)


def _fill(array: Float[Array, "n ..."], multiple: int) -> Float[Array, "m ..."]:
    """Append zeros along the first axis, up to a multiple."""
    return jnp.pad(array, ((0, -array.shape[0] % multiple), *((0, 0),) * (array.ndim - 1)))


def _from_chunks(chunks: Float[Array, "n t b d"], length: int) -> Float[Array, "b l d"]:
    return rearrange(chunks, "n t b d -> b (n t) d")[:, :length]
