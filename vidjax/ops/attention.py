"""Scaled dot-product attention: one signature, several named implementations.

`xla` is plain einsums; `blocked` holds the logits of one row of the batch at a time; `cudnn` is NVIDIA's fused kernel.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from vidjax.errors import ConfigError


def attention(
    q: Float[Array, "b n h d"],
    k: Float[Array, "b m h d"],
    v: Float[Array, "b m h d"],
    *,
    mask: Bool[Array, "#b #h #n #m"] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    implementation: str | None = None,
) -> Float[Array, "b n h d"]:
    """Softmax(q k^T scale) v, with the softmax in float32.

    Args:
      q: n queries; k, v: m keys and values; h heads of d channels.
      mask: True where a query may see a key; each axis may be 1. Every query must see at least one key.
      is_causal: query i sees keys 0..i only.
      scale: of the logits; d^-1/2 if None.
      implementation: one of `IMPLEMENTATIONS`. None takes cuDNN where it runs, else `xla`.

    Returns:
      an array like q, in q's dtype.

    Raises:
      ConfigError: for an unknown implementation, or a named one that cannot run these inputs here; a name never
        falls back to another.
    """
    if implementation is None:
        implementation = "xla" if _cudnn_obstacle(q, k) else "cudnn"
    elif implementation not in IMPLEMENTATIONS:
        raise ConfigError(f"attention={implementation!r} is unknown; choose one of {', '.join(IMPLEMENTATIONS)}")
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    return IMPLEMENTATIONS[implementation](q, k, v, mask, is_causal, scale)


def _xla(q, k, v, mask, is_causal, scale):
    logits = jnp.einsum("bnhd,bmhd->bhnm", q * scale, k, preferred_element_type=jnp.float32)
    if is_causal:
        causal = jnp.tril(jnp.ones(logits.shape[-2:], bool))
        mask = causal if mask is None else mask & causal
    if mask is not None:
        logits = jnp.where(mask, logits, jnp.finfo(jnp.float32).min)
    weights = jax.nn.softmax(logits, axis=-1).astype(v.dtype)
    return jnp.einsum("bhnm,bmhd->bnhd", weights, v)


def _blocked(q, k, v, mask, is_causal, scale):
    """One row of the batch after another, logits recomputed in the backward pass: memory O(h n m), not O(b h n m)."""

    @jax.checkpoint
    def row(operands):
        row_mask = operands[3] if len(operands) > 3 else mask
        q, k, v = (x[None] for x in operands[:3])
        return _xla(q, k, v, row_mask, is_causal, scale)[0]

    per_row_mask = mask is not None and mask.shape[0] > 1
    return jax.lax.map(row, (q, k, v, mask) if per_row_mask else (q, k, v))


def _cudnn(q, k, v, mask, is_causal, scale):
    if obstacle := _cudnn_obstacle(q, k):
        raise ConfigError(f"attention='cudnn' cannot run here: {obstacle}; use attention='xla' or leave it empty")
    if mask is not None:  # cuDNN wants the query and key axes spelt out
        mask = jnp.broadcast_to(mask, (*mask.shape[:2], q.shape[1], k.shape[1]))
    return jax.nn.dot_product_attention(q, k, v, mask=mask, is_causal=is_causal, scale=scale, implementation="cudnn")


def _cudnn_obstacle(q, k) -> str | None:
    """Why cuDNN cannot take these inputs, or None if it can."""
    if jax.default_backend() != "gpu":
        return f"the default backend is {jax.default_backend()}, not an NVIDIA GPU"
    device = jax.devices()[0]
    if "cuda" not in device.client.platform_version.lower():
        return f"{device.device_kind} is not an NVIDIA GPU"
    if q.dtype not in (jnp.bfloat16, jnp.float16) or k.dtype != q.dtype:
        return f"inputs are {q.dtype} and {k.dtype}, it takes bfloat16 or float16"
    head_dim, limit = q.shape[-1], 256 if float(device.compute_capability) >= 9 else 128
    if head_dim % 8 or head_dim > limit:
        return f"the head width {head_dim} is not a multiple of 8 up to {limit}"
    return None


IMPLEMENTATIONS = {"xla": _xla, "blocked": _blocked, "cudnn": _cudnn}
