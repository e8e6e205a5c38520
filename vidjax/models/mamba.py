"""The bidirectional Mixer of Vision Mamba: two selective scans over one projection of the tokens.

Sources: Gu & Dao 2023 (arXiv:2312.00752, section 3.4) for one direction, and Zhu et al. 2024 (arXiv:2401.09417) for
two.
"""

import functools
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from vidjax import ops
from vidjax.models import layers
from vidjax.ops.scan.branch_tpu import KEPT


def _rates(key, shape, dtype):
    """Return the logarithms of the rates 1 to s, the same for every channel (S4D-real)."""
    del key
    return jnp.broadcast_to(jnp.log(jnp.arange(1, shape[1] + 1, dtype=dtype)), shape)


def _inverse_softplus(key, shape, dtype):
    """Return biases whose softplus is a log-uniform step size from 0.001 to 0.1 (arXiv:2312.00752, section 3.6)."""
    steps = jnp.exp(jax.random.uniform(key, shape, dtype, math.log(0.001), math.log(0.1)))
    return steps + jnp.log(-jnp.expm1(-steps))


def _scaled(init: Callable, factor: float) -> Callable:
    return lambda key, shape, dtype=jnp.float32: init(key, shape, dtype) * factor


MERGES = {"sum": 1.0, "mean": 0.5}
DT_BIAS_INITS = {"zero": nn.initializers.zeros, "mamba": _inverse_softplus}


class Halves(nn.Module):
    """A bias-free projection to two halves, as two products, because splitting a single product makes a TPU copy it.

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


class Kernel(nn.Module):
    """The kernel of a linear operation, with output channels last."""

    shape: tuple[int, int]
    kernel_init: Callable

    @nn.compact
    def __call__(self) -> Float[Array, "a d"]:
        return self.param("kernel", self.kernel_init, self.shape, jnp.float32)


class KernelAndBias(nn.Module):
    """`Kernel` with a bias per channel."""

    shape: tuple[int, int]
    kernel_init: Callable
    bias_init: Callable

    @nn.compact
    def __call__(self) -> tuple[Float[Array, "a d"], Float[Array, " d"]]:
        kernel = self.param("kernel", self.kernel_init, self.shape, jnp.float32)
        return kernel, self.param("bias", self.bias_init, self.shape[1:], jnp.float32)


class Direction(nn.Module):
    """One direction of a mixer: `ops.mamba_branch` with its parameters."""

    reverse: bool
    dt_rank: int
    state_size: int
    conv_size: int
    dt_bias_init: str
    scan: str | None
    init_std: float

    @nn.compact
    def __call__(self, x: Float[Array, "b l d"]) -> Float[Array, "b l d"]:
        d, r, s = x.shape[-1], self.dt_rank, self.state_size
        init, of_taps = nn.initializers.normal(self.init_std), layers.torch_bias(self.conv_size)
        # The fan-in of the convolution is `conv_size` per channel, for weights and bias alike.
        taps, taps_bias = KernelAndBias((self.conv_size, d), of_taps, of_taps, name="conv")()
        x_proj = Kernel((d, r + 2 * s), init, name="x_proj")()
        dt_proj, dt_bias = KernelAndBias((r, d), init, DT_BIAS_INITS[self.dt_bias_init], name="dt_proj")()
        A = -jnp.exp(self.param("A_log", _rates, (d, s), jnp.float32))
        D = self.param("D", nn.initializers.ones, (d,), jnp.float32)
        weights = ops.BranchWeights(taps, taps_bias, x_proj, dt_proj, dt_bias, A, D)
        return ops.mamba_branch(x, weights, reverse=self.reverse, scan=self.scan)


@functools.partial(jax.checkpoint, prevent_cse=False)
def _gated(y: Float[Array, "b l d"], gate: Float[Array, "b l d"]) -> Float[Array, "b l d"]:
    """Multiply by the gate's SiLU, which the backward pass computes again."""
    return y * nn.silu(gate)


class Mixer(nn.Module):
    """Both directions over one projection of the tokens, merged, gated, and projected back.

    The published code gates each scan. Gating the merged scans is equivalent, because both scans have the same gate.

    Attributes:
      inner: channels of the scans.
      dt_rank: channels from which the step sizes are projected.
      state_size: states per channel.
      conv_size: tokens that the convolution sees.
      merge_directions: one of `MERGES`.
      dt_bias_init: one of `DT_BIAS_INITS`.
      scan: an implementation of `vidjax.ops.selective_scan`; None chooses one.
      init_std: standard deviation of the initial projections, except the output projection.
      out_scale: factor on the initial output projection.
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
        )
        y = Direction(False, *options, name="forward")(x) + Direction(True, *options, name="backward")(x)
        y = _gated(MERGES[self.merge_directions] * checkpoint_name(y, KEPT), gate)
        out_init = _scaled(layers.torch_kernel, self.out_scale)
        out_proj = layers.Linear(
            tokens.shape[-1], use_bias=False, dtype=self.dtype, kernel_init=out_init, name="out_proj"
        )
        return out_proj(y)
