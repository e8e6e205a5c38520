"""Weighted sums of the rows of attention matrices, computed without storing the matrices.

Maps and roll-out only need the product r P of an attention matrix P and weights r of its queries, such as all weight on
the class token, or equal weights. The product has one number per key, and the matrices, 1.4 GB for the 12 layers of a
base model, are never held in memory. All arrays belong to one clip.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float

_LOGITS = 2**23  # maximum logits per block of queries: 32 MiB


def over_groups(
    q: Float[Array, "g n h e"], k: Float[Array, "g m h e"], weights: Float[Array, "g n"]
) -> Float[Array, "g h m"]:
    """Compute sum_n weights_n softmax(q_n k^T e^-1/2)_m of each head in float32, separately for each of g groups."""
    g, n, h, e = q.shape
    blocks = min(n, math.ceil(g * n * h * k.shape[1] / _LOGITS))
    size = math.ceil(n / blocks)
    k = k.astype(jnp.float32) * e**-0.5

    def cut(x):
        x = jnp.pad(x.astype(jnp.float32), ((0, 0), (0, blocks * size - n), *[(0, 0)] * (x.ndim - 2)))
        return x.reshape(g, blocks, size, *x.shape[2:]).swapaxes(0, 1)

    def add(total, block):
        q, weights = block
        shares = jax.nn.softmax(jnp.einsum("gnhe,gmhe->ghnm", q, k, precision="highest"))
        return total + jnp.einsum("gn,ghnm->ghm", weights, shares, precision="highest"), None

    return jax.lax.scan(add, jnp.zeros((g, h, k.shape[1]), jnp.float32), (cut(q), cut(weights)))[0]


def over_all(q: Float[Array, "n h e"], k: Float[Array, "n h e"], weights: Float[Array, " n"]) -> Float[Array, "h n"]:
    """Sum the weighted rows of attention over all tokens."""
    return over_groups(q[None], k[None], weights[None])[0]


def over_space(
    q: Float[Array, "t s h e"], k: Float[Array, "t s h e"], weights: Float[Array, "t s"]
) -> Float[Array, "h t s"]:
    """Sum the weighted rows of attention within frames."""
    return over_groups(q, k, weights).swapaxes(0, 1)


def over_time(
    q: Float[Array, "t s h e"], k: Float[Array, "t s h e"], weights: Float[Array, "t s"]
) -> Float[Array, "h t s"]:
    """Sum the weighted rows of attention over the frames at each position."""
    q, k, weights = (x.swapaxes(0, 1) for x in (q, k, weights))
    return rearrange(over_groups(q, k, weights), "s h t -> h t s")
