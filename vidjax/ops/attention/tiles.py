"""Attention without a mask in portable JAX, gradients by hand: logits are computed again instead of kept.

On a CPU a tile of queries of one head at a time, so that logits stay in cache; or all at once.
"""

import jax
import jax.numpy as jnp
from einops import rearrange

QUERIES = 256  # of a tile, at most; 200 to 400 take about the same time
CACHED = 512 * 512  # logits of a head that stay in cache without tiles


def forward(q, k, v, scale):
    """Out (b n h d), and the logarithm of each query's sum of exponentials, float32 (b h n)."""
    logits = _logits("bnhd,bmhd->bhnm", q, k, scale)
    weights, lse = _softmax(logits)
    return _product("bhnm,bmhd->bnhd", weights, v), lse[..., 0]


def backward(q, k, v, out, lse, dout, scale):
    """The gradients of q, k and v."""
    inner = jnp.einsum("bnhd,bnhd->bhn", out, dout, preferred_element_type=jnp.float32)
    weights = jnp.exp(_logits("bnhd,bmhd->bhnm", q, k, scale) - lse[..., None])
    dweights = jnp.einsum("bnhd,bmhd->bhnm", dout, v, preferred_element_type=jnp.float32)
    dlogits = weights * (dweights - inner[..., None]) * scale
    dq = _product("bhnm,bmhd->bnhd", dlogits, k)
    dk = _product("bhnm,bnhd->bmhd", dlogits, q)
    return dq, dk, _product("bhnm,bnhd->bmhd", weights, dout)


def tiled_forward(q, k, v, scale):
    """As `forward`, a tile of one head after another."""
    n, heads = q.shape[1:3]

    def head(operands):
        tiles, k, v = operands

        def tile(q):
            weights, lse = _softmax(_logits("nd,md->nm", q, k, scale))
            return _product("nm,md->nd", weights, v), lse[:, 0]

        return jax.lax.map(tile, tiles)

    out, lse = jax.lax.map(head, (_to_tiles(q), _to_heads(k), _to_heads(v)))
    return _from_tiles(out, n, heads), _from_tiles(lse[..., None], n, heads)[..., 0].swapaxes(1, 2)


def tiled_backward(q, k, v, out, lse, dout, scale):
    """As `backward`, a tile of one head after another."""
    n, heads = q.shape[1:3]
    inner = jnp.einsum("bnhd,bnhd->bnh", out, dout, preferred_element_type=jnp.float32)

    def head(operands):
        tiles, k, v = operands

        def tile(sums, operands):
            q, dout, lse, inner = operands
            weights = jnp.exp(_logits("nd,md->nm", q, k, scale) - lse)
            dweights = jnp.einsum("nd,md->nm", dout, v, preferred_element_type=jnp.float32)
            dlogits = (weights * (dweights - inner) * scale).astype(q.dtype)
            dk = sums[0] + jnp.einsum("nm,nd->md", dlogits, q, preferred_element_type=jnp.float32)
            dv = sums[1] + jnp.einsum("nm,nd->md", weights.astype(q.dtype), dout, preferred_element_type=jnp.float32)
            return (dk, dv), _product("nm,md->nd", dlogits, k)

        zeros = jnp.zeros(k.shape, jnp.float32)
        (dk, dv), dq = jax.lax.scan(tile, (zeros, zeros), tiles)
        return dq, dk.astype(k.dtype), dv.astype(v.dtype)

    tiles = tuple(_to_tiles(x) for x in (q, dout, lse.swapaxes(1, 2)[..., None], inner[..., None]))
    dq, dk, dv = jax.lax.map(head, (tiles, _to_heads(k), _to_heads(v)))
    return _from_tiles(dq, n, heads), *(rearrange(x, "(b h) m d -> b m h d", h=heads) for x in (dk, dv))


def _logits(equation, q, k, scale):
    return jnp.einsum(equation, q * scale, k, preferred_element_type=jnp.float32)


def _softmax(logits):
    """Weights, and the logarithm of what they were divided by."""
    top = logits.max(axis=-1, keepdims=True)
    weights = jnp.exp(logits - top)
    total = weights.sum(axis=-1, keepdims=True)
    return weights / total, top + jnp.log(total)


def _product(equation, weights, x):
    return jnp.einsum(equation, weights.astype(x.dtype), x)


def _to_heads(x):
    return rearrange(x, "b m h d -> (b h) m d")


def _to_tiles(x):
    """(b n h d) to (b h, tiles, queries, d), zeros after the last query."""
    n = x.shape[1]
    count = -(-n // QUERIES)
    x = jnp.pad(x, ((0, 0), (0, -n % count), (0, 0), (0, 0)))
    return rearrange(x, "b (t n) h d -> (b h) t n d", t=count)


def _from_tiles(x, n: int, heads: int):
    return rearrange(x, "(b h) t n d -> b (t n) h d", h=heads)[:, :n]
