"""Attention whose logits are capped: cap tanh(logits / cap), as in VideoPrism and Gemma 2 (arXiv:2408.00118)."""

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Bool, Float

from vidjax.errors import ConfigError

LARGEST = 2**21  # logits of one head; with more, and without a mask, the default is `blocked`
QUERIES = 512  # the most queries that `blocked` computes at once


def capped_attention(
    q: Float[Array, "b n h d"],
    k: Float[Array, "b m h d"],
    v: Float[Array, "b m h d"],
    *,
    cap: float,
    mask: Bool[Array, "#b #h #n #m"] | None = None,
    implementation: str | None = None,
) -> Float[Array, "b n h d"]:
    """Compute softmax(cap tanh(d^-1/2 q k^T / cap)) v, with the cap and the softmax in float32.

    Args:
      cap: the greatest absolute value of a logit, above 0.
      mask: True where a query may see a key; any axis may have size 1. Every query must see at least one key.
      implementation: a key of `CAPPED`. `xla` computes all logits at once. `blocked` computes those of some queries at
        a time, and again in the backward pass. None chooses `blocked` if there is no mask and a head has more than 2^21
        logits.

    Returns:
      an array like q, in q's dtype.

    Raises:
      ConfigError: for another implementation, or for `blocked` with a mask.

    Example:
      >>> from vidjax.ops.attention.capped import capped_attention
      >>> q = jax.random.normal(jax.random.key(0), (2, 5, 3, 4))
      >>> bool(jnp.allclose(capped_attention(q, q, q, cap=1e4), vidjax.ops.attention(q, q, q), atol=1e-5))
      True
    """
    if implementation is None:
        implementation = "blocked" if mask is None and q.shape[1] * k.shape[1] > LARGEST else "xla"
    if implementation not in CAPPED:
        raise ConfigError(
            f"attention={implementation!r} cannot cap its logits; choose one of {', '.join(CAPPED)}, or leave it empty"
        )
    if mask is not None and implementation == "blocked":
        raise ConfigError("attention='blocked' takes no mask if logits are capped; choose xla, or leave it empty")
    return CAPPED[implementation](q, k, v, mask, cap)


def _xla(q, k, v, mask, cap):
    logits = jnp.einsum("bnhd,bmhd->bhnm", q * q.shape[-1] ** -0.5, k, preferred_element_type=jnp.float32)
    logits = cap * jnp.tanh(logits / cap)
    if mask is not None:
        logits = jnp.where(mask, logits, jnp.finfo(jnp.float32).min)
    return jnp.einsum("bhnm,bmhd->bnhd", jax.nn.softmax(logits, axis=-1).astype(v.dtype), v)


def _blocked(q, k, v, mask, cap):
    del mask
    n = q.shape[1]
    count = -(-n // QUERIES)
    padded = jnp.pad(q, ((0, 0), (0, -n % count), (0, 0), (0, 0)))
    parts = rearrange(padded, "b (p n) h d -> p b n h d", p=count)
    out = jax.lax.map(jax.checkpoint(lambda part: _xla(part, k, v, None, cap)), parts)
    return rearrange(out, "p b n h d -> b (p n) h d")[:, :n]


CAPPED = {"xla": _xla, "blocked": _blocked}
