"""Attention with NVIDIA's fused kernel."""

import jax
import jax.numpy as jnp

from vidjax.errors import ConfigError
from vidjax.ops import platforms


def cudnn(q, k, v, mask, is_causal, scale):
    """Compute attention with cuDNN for bfloat16 or float16 inputs; see `vidjax.ops.attention`."""
    if reason := obstacle(q, k):
        raise ConfigError(f"attention='cudnn' cannot run here: {reason}; use attention='xla' or leave it empty")
    if mask is not None:  # cuDNN does not broadcast the query and key axes
        mask = jnp.broadcast_to(mask, (*mask.shape[:2], q.shape[1], k.shape[1]))
    return jax.nn.dot_product_attention(q, k, v, mask=mask, is_causal=is_causal, scale=scale, implementation="cudnn")


def obstacle(q, k) -> str | None:
    """Return the reason why cuDNN cannot take these inputs, or None if it can."""
    if platforms.restricted():
        return "the program is exported for other machines"
    if jax.default_backend() != "gpu":
        return f"the default backend is {jax.default_backend()}, not an NVIDIA GPU"
    device = jax.devices()[0]
    if "cuda" not in device.client.platform_version.lower():
        return f"{device.device_kind} is not an NVIDIA GPU"
    if q.dtype not in (jnp.bfloat16, jnp.float16) or k.dtype != q.dtype:
        return f"inputs are {q.dtype} and {k.dtype}, but both must be bfloat16 or both float16"
    head_dim, limit = q.shape[-1], 256 if float(device.compute_capability) >= 9 else 128
    if head_dim % 8 or head_dim > limit:
        return f"the head width {head_dim} is not a multiple of 8 up to {limit}"
    return None
