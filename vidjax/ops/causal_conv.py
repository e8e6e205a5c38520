"""The depthwise convolution of Mamba and the SiLU after it (Gu & Dao 2023, arXiv:2312.00752, section 3.4).

The implementation `taps` is a sum over kernel taps in plain JAX. `pallas_tpu` is a pair of TPU kernels that read and
write every token once.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vidjax.errors import ConfigError
from vidjax.ops import platforms
from vidjax.ops.scan.conv_tpu import MOST_TAPS, fits, pallas_tpu
from vidjax.ops.scan.mesh import on_each_device


def causal_conv_silu(
    x: Float[Array, "b l d"],
    kernel: Float[Array, "k d"],
    bias: Float[Array, " d"],
    *,
    reverse: bool = False,
    implementation: str | None = None,
) -> Float[Array, "b l d"]:
    """Convolve each token with the k - 1 before it: silu(bias + sum_i kernel_i x_(t - k + 1 + i)).

    Tokens before the first count as zeros. Sums and SiLU are float32. All arguments have first-order gradients in
    reverse mode. For forward mode or higher orders, pass implementation='taps'.

    Args:
      x: tokens, float32 or bfloat16.
      kernel: k taps per channel, the last for the token itself.
      reverse: convolve each token with those after it; nothing is flipped in memory.
      implementation: one of `IMPLEMENTATIONS`. None chooses `pallas_tpu` on a TPU if the kernels support the inputs,
        and `taps` otherwise.

    Returns:
      an array like x, in x's dtype.

    Raises:
      ConfigError: if the implementation is unknown, or if `pallas_tpu` does not support the arrays.

    Example:
      >>> x = jnp.ones((1, 4, 2))
      >>> y = vidjax.ops.causal_conv_silu(x, kernel=jnp.ones((3, 2)), bias=jnp.zeros(2))
      >>> jnp.allclose(y[0, :, 0], jax.nn.silu(jnp.array([1.0, 2.0, 3.0, 3.0]))).item()
      True
    """
    if implementation is None:
        conv = _by_platform
    elif implementation in IMPLEMENTATIONS:
        conv = IMPLEMENTATIONS[implementation]
    else:
        raise ConfigError(f"implementation={implementation!r} is unknown; choose one of {', '.join(IMPLEMENTATIONS)}")
    if conv is pallas_tpu and not fits(x, kernel):
        raise ConfigError(
            f"pallas_tpu takes up to {MOST_TAPS} taps and non-empty arrays of float32 or bfloat16 whose blocks fit a "
            f"core, not {kernel.shape[0]} taps and an x of {x.dtype}{list(x.shape)}; use implementation='taps'"
        )
    return on_each_device(functools.partial(conv, reverse=reverse), "b l d, k d, d", x, kernel, bias)


def _by_platform(x, kernel, bias, reverse):
    tpu, default = (functools.partial(conv, reverse=reverse) for conv in (pallas_tpu, _taps))
    return platforms.dispatch(x, kernel, bias, tpu=tpu if fits(x, kernel) else default, default=default)


def _taps(x, kernel, bias, reverse):
    length, others = x.shape[1], kernel.shape[0] - 1
    padded = jnp.pad(x, ((0, 0), (0, others) if reverse else (others, 0), (0, 0)))
    starts = range(others, -1, -1) if reverse else range(others + 1)
    # Each tap converts its own tokens. If they were converted once for all taps, a float32 copy of all tokens would be
    # materialised.
    taps = zip(kernel.astype(jnp.float32), starts, strict=True)
    y = sum(tap * padded[:, start : start + length].astype(jnp.float32) for tap, start in taps)
    return jax.nn.silu(y + bias).astype(x.dtype)


IMPLEMENTATIONS = {"taps": _taps, "pallas_tpu": pallas_tpu}
