"""Unmasked attention in portable JAX, with hand-written gradients that recompute logits instead of saving them.

Logits are computed all at once or, on a CPU, one tile of one head's queries at a time, so that they stay in cache.
"""

import jax
import jax.numpy as jnp
from einops import rearrange

QUERIES = 800  # the most queries per tile in the forward pass; fewer take longer with up to about 3000 keys
BACKWARD_QUERIES = 256  # in the backward pass, which holds four times as many numbers per query
CACHED = 512 * 512  # the most logits per head that stay in cache without tiling


def forward(q, k, v, heads, scale):
    """Compute the attention of q (b n h*d) to k and v (b m h*d), with heads side by side.

    Returns:
      out, shaped like q, and the logarithm of each query's sum of exponentials, float32 (b h n).
    """
    out, lse = _attend(*(_to_heads(x, heads) for x in (q, k, v)), scale)
    return _from_heads(out, heads), rearrange(lse, "(b h) n 1 -> b h n", h=heads)


def backward(q, k, v, out, lse, dout, heads, scale):
    """Compute the gradients of q, k and v, given the operands and results of `forward` and the gradient of `out`."""
    inner = rearrange(_inner(out, dout, heads), "b n h -> (b h) n 1")
    lse = rearrange(lse, "b h n -> (b h) n 1")
    q, k, v, dout = (_to_heads(x, heads) for x in (q, k, v, dout))
    gradients = zip(_gradients(q, k, v, dout, lse, inner, scale), (q, k, v), strict=True)
    return tuple(_from_heads(gradient.astype(x.dtype), heads) for gradient, x in gradients)


def tiled_forward(q, k, v, heads, scale):
    """Compute the same as `forward`, one tile of one head at a time."""

    def head(operands):
        tiles, k, v = operands
        return jax.lax.map(lambda q: _attend(q, k, v, scale), tiles)

    out, lse = jax.lax.map(head, (_to_tiles(q, heads, QUERIES), _to_heads(k, heads), _to_heads(v, heads)))
    return _from_tiles(out, heads, q.shape[1]), _from_tiles(lse, heads, q.shape[1]).swapaxes(1, 2)


def tiled_backward(q, k, v, out, lse, dout, heads, scale):
    """Compute the same as `backward`, one tile of one head at a time."""

    def head(operands):
        tiles, k, v = operands

        def tile(sums, operands):
            q, dout, lse, inner = operands
            dq, dk, dv = _gradients(q, k, v, dout, lse, inner, scale)
            return (sums[0] + dk, sums[1] + dv), dq.astype(q.dtype)

        zeros = jnp.zeros(k.shape, jnp.float32)
        (dk, dv), dq = jax.lax.scan(tile, (zeros, zeros), tiles)
        return dq, dk.astype(k.dtype), dv.astype(v.dtype)

    numbers = lse.swapaxes(1, 2), _inner(out, dout, heads)
    tiles = tuple(_to_tiles(x, heads, BACKWARD_QUERIES) for x in (q, dout, *numbers))
    dq, dk, dv = jax.lax.map(head, (tiles, _to_heads(k, heads), _to_heads(v, heads)))
    return _from_tiles(dq, heads, q.shape[1]), _from_heads(dk, heads), _from_heads(dv, heads)


def _attend(q, k, v, scale):
    """Attend within each head: q (... n d), k and v (... m d) to out (... n d) and its log-sums (... n 1)."""
    logits = _matmul(q * scale, _swap(k))
    top = logits.max(axis=-1, keepdims=True)
    weights = jnp.exp(logits - top)
    total = weights.sum(axis=-1, keepdims=True)
    # Dividing the d results of a query is cheaper than dividing its m weights.
    out = _matmul(weights.astype(v.dtype), v) / total
    return out.astype(v.dtype), top + jnp.log(total)


def _gradients(q, k, v, dout, lse, inner, scale):
    """Return the gradients of q, k and v in float32, from the log-sums and `inner`, both (... n 1)."""
    weights = jnp.exp(_matmul(q * scale, _swap(k)) - lse)
    dweights = _matmul(dout, _swap(v))
    dlogits = (weights * (dweights - inner) * scale).astype(q.dtype)
    dq = _matmul(dlogits, k)
    dk = _matmul(_swap(dlogits), q)
    dv = _matmul(_swap(weights.astype(q.dtype)), dout)
    return dq, dk, dv


def _inner(out, dout, heads: int):
    """Return the inner product of each query's output with its gradient, float32 (b n h)."""
    split = (rearrange(x, "b n (h d) -> b n h d", h=heads) for x in (out, dout))
    return jnp.einsum("bnhd,bnhd->bnh", *split, preferred_element_type=jnp.float32)


def _matmul(x, y):
    """Multiply matrices in the order in which they are written, which `einsum` may swap, at a cost on a CPU."""
    return jnp.matmul(x, y, preferred_element_type=jnp.float32)


def _swap(x):
    return x.swapaxes(-1, -2)


def _to_heads(x, heads: int):
    """Put heads before tokens, as batched matrix products want them on a CPU."""
    return rearrange(x, "b m (h d) -> (b h) m d", h=heads)


def _from_heads(x, heads: int):
    return rearrange(x, "(b h) m d -> b m (h d)", h=heads)


def _to_tiles(x, heads: int, queries: int):
    """Turn (b n h*d) into (b*h, tiles, n', d) with at most `queries` queries n' per tile, and zeros after the last."""
    n = x.shape[1]
    count = -(-n // queries)
    x = jnp.pad(x, ((0, 0), (0, -n % count), (0, 0)))
    return rearrange(x, "b (t n) (h d) -> (b h) t n d", t=count, h=heads)


def _from_tiles(x, heads: int, n: int):
    return rearrange(x, "(b h) t n d -> b (t n) (h d)", h=heads)[:, :n]
