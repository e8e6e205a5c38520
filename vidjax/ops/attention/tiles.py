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
    q, k, v = (_split(x, heads) for x in (q, k, v))
    weights, total, lse = _exponentials(_logits("bnhd,bmhd->bhnm", q, k, scale))
    return _join(_product("bhnm,bmhd->bnhd", weights / total, v)), lse[..., 0]


def backward(q, k, v, out, lse, dout, heads, scale):
    """Compute the gradients of q, k and v, given the operands and results of `forward` and the gradient of `out`."""
    q, k, v, out, dout = (_split(x, heads) for x in (q, k, v, out, dout))
    inner = jnp.einsum("bnhd,bnhd->bhn", out, dout, preferred_element_type=jnp.float32)
    weights = jnp.exp(_logits("bnhd,bmhd->bhnm", q, k, scale) - lse[..., None])
    dweights = jnp.einsum("bnhd,bmhd->bhnm", dout, v, preferred_element_type=jnp.float32)
    dlogits = weights * (dweights - inner[..., None]) * scale
    dq = _product("bhnm,bmhd->bnhd", dlogits, k)
    dk, dv = _product("bhnm,bnhd->bmhd", dlogits, q), _product("bhnm,bnhd->bmhd", weights, dout)
    return _join(dq), _join(dk), _join(dv)


def tiled_forward(q, k, v, heads, scale):
    """Compute the same as `forward`, one tile of one head at a time."""

    def head(operands):
        tiles, k, v = operands

        def tile(q):
            weights, total, lse = _exponentials(_logits("nd,md->nm", q, k, scale))
            # Dividing the d results of a query is cheaper than dividing its m weights.
            out = jnp.einsum("nm,md->nd", weights.astype(v.dtype), v, preferred_element_type=jnp.float32) / total
            return out.astype(v.dtype), lse

        return jax.lax.map(tile, tiles)

    out, lse = jax.lax.map(head, (_to_tiles(q, heads, QUERIES), _to_heads(k, heads), _to_heads(v, heads)))
    return _from_tiles(out, heads, q.shape[1]), _from_tiles(lse, heads, q.shape[1]).swapaxes(1, 2)


def tiled_backward(q, k, v, out, lse, dout, heads, scale):
    """Compute the same as `backward`, one tile of one head at a time."""
    inner = jnp.einsum("bnhd,bnhd->bnh", _split(out, heads), _split(dout, heads), preferred_element_type=jnp.float32)

    def head(operands):
        tiles, k, v = operands

        def tile(sums, operands):
            q, dout, lse, inner = operands
            weights = jnp.exp(_logits("nd,md->nm", q, k, scale) - lse)
            dweights = jnp.einsum("nd,md->nm", dout, v, preferred_element_type=jnp.float32)
            dlogits = (weights * (dweights - inner) * scale).astype(q.dtype)
            dk = jnp.einsum("nm,nd->md", dlogits, q, preferred_element_type=jnp.float32)
            dv = jnp.einsum("nm,nd->md", weights.astype(q.dtype), dout, preferred_element_type=jnp.float32)
            return (sums[0] + dk, sums[1] + dv), _product("nm,md->nd", dlogits, k)

        zeros = jnp.zeros(k.shape, jnp.float32)
        (dk, dv), dq = jax.lax.scan(tile, (zeros, zeros), tiles)
        return dq, dk.astype(k.dtype), dv.astype(v.dtype)

    tiles = tuple(_to_tiles(x, heads, BACKWARD_QUERIES) for x in (q, dout, lse.swapaxes(1, 2), inner))
    dq, dk, dv = jax.lax.map(head, (tiles, _to_heads(k, heads), _to_heads(v, heads)))
    return _from_tiles(dq, heads, q.shape[1]), *(rearrange(x, "(b h) m d -> b m (h d)", h=heads) for x in (dk, dv))


def _logits(equation, q, k, scale):
    return jnp.einsum(equation, q * scale, k, preferred_element_type=jnp.float32)


def _exponentials(logits):
    """Return each row's exponentials, at most 1; their sum; and the logarithm of the sum for unshifted logits."""
    top = logits.max(axis=-1, keepdims=True)
    weights = jnp.exp(logits - top)
    total = weights.sum(axis=-1, keepdims=True)
    return weights, total, top + jnp.log(total)


def _product(equation, weights, x):
    return jnp.einsum(equation, weights.astype(x.dtype), x)


def _split(x, heads: int):
    return rearrange(x, "b n (h d) -> b n h d", h=heads)


def _join(x):
    return rearrange(x, "b n h d -> b n (h d)")


def _to_heads(x, heads: int):
    return rearrange(x, "b m (h d) -> (b h) m d", h=heads)


def _to_tiles(x, heads: int, queries: int):
    """Turn (b n h*d) into (b*h, tiles, n', d) with at most `queries` queries n' per tile, and zeros after the last."""
    n = x.shape[1]
    count = -(-n // queries)
    x = jnp.pad(x, ((0, 0), (0, -n % count), (0, 0)))
    return rearrange(x, "b (t n) (h d) -> (b h) t n d", t=count, h=heads)


def _from_tiles(x, heads: int, n: int):
    return rearrange(x, "(b h) t n d -> b (t n) (h d)", h=heads)[:, :n]
