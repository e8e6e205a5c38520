"""The bidirectional Mixer of Vision Mamba: two selective scans over one projection of the tokens.

Gu & Dao 2023 (arXiv:2312.00752, section 3.4) for one direction; Zhu et al. 2024 (arXiv:2401.09417) for two.
"""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from vidjax import ops
from vidjax.models import layers


def _rates(key, shape, dtype):
    """The logarithm of rates 1 to s in every channel (S4D-real)."""
    del key
    return jnp.broadcast_to(jnp.log(jnp.arange(1, shape[1] + 1, dtype=dtype)), shape)


def _inverse_softplus(key, shape, dtype):
    """The bias of steps drawn log-uniform in 0.001 to 0.1 (arXiv:2312.00752, section 3.6)."""
    steps = jnp.exp(jax.random.uniform(key, shape, dtype, math.log(0.001), math.log(0.1)))
    return steps + jnp.log(-jnp.expm1(-steps))


def _scaled(init: Callable, factor: float) -> Callable:
    return lambda key, shape, dtype=jnp.float32: init(key, shape, dtype) * factor


MERGES = {"sum": 1.0, "mean": 0.5}
DT_BIAS_INITS = {"zero": nn.initializers.zeros, "mamba": _inverse_softplus}


class CausalConv(nn.Module):
    """The parameters of `ops.causal_conv_silu` over `size` tokens."""

    size: int
    reverse: bool

    @nn.compact
    def __call__(self, x: Float[Array, "b l d"]) -> Float[Array, "b l d"]:
        init = layers.torch_bias(self.size)  # a channel has `size` inputs, for its weights and its bias alike
        kernel = self.param("kernel", init, (self.size, x.shape[-1]), jnp.float32)
        bias = self.param("bias", init, (x.shape[-1],), jnp.float32)
        return ops.causal_conv_silu(x, kernel, bias, reverse=self.reverse)


class Halves(nn.Module):
    """A projection without bias, cut in two: two products, because to cut what one makes takes a TPU a copy.

    Attributes:
      features: channels of each half.
    """

    features: int
    kernel_init: Callable
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "b l d"]) -> tuple[Float[Array, "b l e"], Float[Array, "b l e"]]:
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], 2 * self.features), jnp.float32)
        first, second = jnp.split(kernel.astype(self.dtype), 2, axis=1)
        return layers.product(x, first, self.dtype), layers.product(x, second, self.dtype)


class StepSize(nn.Module):
    """A projection from few channels, and a bias for the scan, which adds it and takes the softplus in float32."""

    features: int
    kernel_init: Callable
    bias_init: Callable
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "b l r"]) -> tuple[Float[Array, "b l d"], Float[Array, " d"]]:
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features), jnp.float32)
        bias = self.param("bias", self.bias_init, (self.features,), jnp.float32)
        return layers.product(x, kernel, self.dtype), bias


class Direction(nn.Module):
    """Convolution, SiLU, and a scan whose step sizes, B and C are made from the tokens."""

    reverse: bool
    dt_rank: int
    state_size: int
    conv_size: int
    dt_bias_init: str
    scan: str | None
    init_std: float
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "b l d"]) -> Float[Array, "b l d"]:
        d, r, s = x.shape[-1], self.dt_rank, self.state_size
        init = nn.initializers.normal(self.init_std)
        x = CausalConv(self.conv_size, self.reverse, name="conv")(x)
        x_proj = layers.Linear(r + 2 * s, use_bias=False, dtype=self.dtype, kernel_init=init, name="x_proj")
        dt, B, C = jnp.split(x_proj(x), (r, r + s), axis=-1)
        dt, bias = StepSize(d, init, DT_BIAS_INITS[self.dt_bias_init], self.dtype, name="dt_proj")(dt)
        A = -jnp.exp(self.param("A_log", _rates, (d, s), jnp.float32))
        D = self.param("D", nn.initializers.ones, (d,), jnp.float32)
        return ops.selective_scan(x, dt, A, B, C, D, dt_bias=bias, reverse=self.reverse, implementation=self.scan)


class Mixer(nn.Module):
    """Both directions over one projection of the tokens, merged, gated, and projected back.

    Gating the merged scans once is the same as the published gate on each, because both have the same gate.

    Attributes:
      inner: channels of the scans; dt_rank: channels from which their step sizes are made.
      state_size: states a channel; conv_size: tokens that the convolution sees.
      merge_directions: one of `MERGES`; dt_bias_init: one of `DT_BIAS_INITS`.
      scan: an implementation of `vidjax.ops.selective_scan`, None to choose.
      init_std: of initial kernels, but that of the output projection; out_scale: factor on that.
    """

    inner: int
    dt_rank: int
    state_size: int
    conv_size: int
    merge_directions: str = "sum"
    dt_bias_init: str = "zero"
    scan: str | None = None
    init_std: float = 0.02
    out_scale: float = 1.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, tokens: Float[Array, "b l d"]) -> Float[Array, "b l d"]:
        init = nn.initializers.normal(self.init_std)
        x, gate = Halves(self.inner, init, self.dtype, name="in_proj")(tokens)
        options = (
            self.dt_rank,
            self.state_size,
            self.conv_size,
            self.dt_bias_init,
            self.scan,
            self.init_std,
            self.dtype,
        )
        y = Direction(False, *options, name="forward")(x) + Direction(True, *options, name="backward")(x)
        y = MERGES[self.merge_directions] * y * nn.silu(gate)
        out_init = _scaled(layers.torch_kernel, self.out_scale)
        out_proj = layers.Linear(
            tokens.shape[-1], use_bias=False, dtype=self.dtype, kernel_init=out_init, name="out_proj"
        )
        return out_proj(y)
