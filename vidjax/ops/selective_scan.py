"""The selective scan of Mamba (Gu & Dao 2023, arXiv:2312.00752, algorithm 2): one signature, several implementations.

`associative` runs `jax.lax.associative_scan` over the whole length and keeps a state for every token in memory; it
serves as the reference. `chunked`, in plain JAX, and `pallas_tpu`, a pair of TPU kernels, keep only the states between
chunks; their backward passes recompute the others. If a mesh shards rows or channels, each device scans its own.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vidjax.errors import ConfigError
from vidjax.ops import platforms
from vidjax.ops.scan.chunked import chunked
from vidjax.ops.scan.mesh import on_each_device
from vidjax.ops.scan.recurrence import step_sizes
from vidjax.ops.scan.tpu import fits, pallas_tpu


def selective_scan(
    x: Float[Array, "b l d"],
    dt: Float[Array, "b l d"],
    A: Float[Array, "d s"],
    B: Float[Array, "b l s"],
    C: Float[Array, "b l s"],
    D: Float[Array, " d"] | None = None,
    *,
    dt_bias: Float[Array, " d"] | None = None,
    reverse: bool = False,
    implementation: str | None = None,
) -> Float[Array, "b l d"]:
    """Compute y_t = C_t h_t + D x_t with h_t = exp(dt_t A) h_(t-1) + dt_t B_t x_t, for d channels of s states each.

    States are float32 for any dtype of the inputs. Every array has first derivatives in reverse mode.

    Args:
      x: inputs of any length, float32 or bfloat16.
      dt: step sizes after the softplus, positive; with `dt_bias`, the values before bias and softplus.
      A: decay rates, negative.
      B, C: weights with which a token is written to the states, and with which its output is read from them.
      D: weight of the skip connection; None for no skip connection.
      dt_bias: if given, step sizes are softplus(dt + dt_bias), in float32. The TPU kernels compute step sizes for one
        chunk at a time and never write them to main memory.
      reverse: run from the last token to the first; nothing is flipped in memory.
      implementation: one of `IMPLEMENTATIONS`. None chooses `pallas_tpu` on a TPU if it supports the dtypes and the
        states fit in a core's memory, and `chunked` otherwise.

    Returns:
      an array like x, in x's dtype.

    Raises:
      ConfigError: if the implementation is unknown, or if `pallas_tpu` does not support the dtypes or the states do not
        fit in a core's memory; a named implementation never falls back to another.

    Example:
      >>> x = jnp.ones((1, 3, 2))
      >>> A, B = -jnp.ones((2, 1)), jnp.ones((1, 3, 1))
      >>> halved = jnp.full_like(x, jnp.log(2.0))  # steps in which a state is halved
      >>> (vidjax.ops.selective_scan(x, halved, A, B, B)[0, :, 0] / jnp.log(2.0)).round(2).tolist()
      [1.0, 1.5, 1.75]
    """
    if implementation is None:
        scan = _by_platform
    elif implementation in IMPLEMENTATIONS:
        scan = IMPLEMENTATIONS[implementation]
    else:
        raise ConfigError(f"scan={implementation!r} is unknown; choose one of {', '.join(IMPLEMENTATIONS)}")
    zeros = jnp.zeros(A.shape[0], jnp.float32)
    D, bias = (zeros if each is None else each for each in (D, dt_bias))
    scan = functools.partial(scan, softplus=dt_bias is not None, reverse=reverse)
    return on_each_device(scan, "b l d, b l d, d s, b l s, b l s, d, d", x, dt, A, B, C, D, bias)


def _by_platform(*operands, **options):
    kernel = pallas_tpu if fits(*operands[:3]) else chunked
    tpu, default = (functools.partial(scan, **options) for scan in (kernel, chunked))
    return platforms.dispatch(*operands, tpu=tpu, default=default)


def _associative(x, dt, A, B, C, D, bias, softplus, reverse):
    dt = step_sizes(dt, bias, softplus)
    x32, dt, A, B, C, D = (operand.astype(jnp.float32) for operand in (x, dt, A, B, C, D))
    decay = jnp.exp(dt[..., None] * A)
    written = (dt * x32)[..., None] * B[:, :, None]
    _, states = jax.lax.associative_scan(_compose, (decay, written), axis=1, reverse=reverse)
    return ((states * C[:, :, None]).sum(axis=-1) + D * x32).astype(x.dtype)


def _compose(first, second):
    """Compose two maps h -> decay h + written; `first` is applied first."""
    return second[0] * first[0], second[0] * first[1] + second[1]


IMPLEMENTATIONS = {"associative": _associative, "chunked": chunked, "pallas_tpu": pallas_tpu}
