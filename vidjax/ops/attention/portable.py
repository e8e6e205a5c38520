"""Attention in plain JAX, differentiated by JAX, with any mask."""

import jax
import jax.numpy as jnp


def xla(q, k, v, mask, is_causal, scale):
    """Compute all logits at once."""
    logits = jnp.einsum("bnhd,bmhd->bhnm", q * scale, k, preferred_element_type=jnp.float32)
    if is_causal:
        causal = jnp.tril(jnp.ones(logits.shape[-2:], bool))
        mask = causal if mask is None else mask & causal
    if mask is not None:
        logits = jnp.where(mask, logits, jnp.finfo(jnp.float32).min)
    weights = jax.nn.softmax(logits, axis=-1).astype(v.dtype)
    return jnp.einsum("bhnm,bmhd->bnhd", weights, v)


def blocked(q, k, v, mask, is_causal, scale):
    """Compute one batch row at a time, and again in the backward pass: logits need O(h n m) memory, not O(b h n m)."""

    @jax.checkpoint
    def row(operands):
        row_mask = operands[3] if len(operands) > 3 else mask
        q, k, v = (x[None] for x in operands[:3])
        return xla(q, k, v, row_mask, is_causal, scale)[0]

    per_row_mask = mask is not None and mask.shape[0] > 1
    return jax.lax.map(row, (q, k, v, mask) if per_row_mask else (q, k, v))
