"""One direction of a Mamba mixer: convolution, SiLU, and a scan whose step sizes, B and C depend on the tokens.

Source: Gu & Dao 2023 (arXiv:2312.00752, section 3.4). `separate` runs one operation after another. `pallas_tpu` runs
the whole branch in one TPU kernel, with another for the backward pass; only the scan's states are stored in between.
"""

import functools
import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from vidjax.errors import ConfigError
from vidjax.ops import platforms
from vidjax.ops.causal_conv import causal_conv_silu
from vidjax.ops.mesh_axes import CHANNELS, free_axes
from vidjax.ops.row_sharding import product_by_rows
from vidjax.ops.scan.branch_tpu import BranchWeights, fits, pallas_tpu
from vidjax.ops.scan.mesh import on_each_device
from vidjax.ops.selective_scan import selective_scan

# Axes of x and of the weights. Channels are called e, not d, so that they are not sharded: projections need them all.
_AXES = "b l e, k e, e, e p, r e, e, e s, e"


def mamba_branch(
    x: Float[Array, "b l d"],
    weights: BranchWeights,
    *,
    reverse: bool = False,
    scan: str | None = None,
    implementation: str | None = None,
) -> Float[Array, "b l d"]:
    """Compute scan(u, softplus(dt dt_proj + dt_bias), A, B, C, D) with u = silu(conv(x)) and (dt, B, C) = u x_proj.

    Projections are in x's dtype, everything else in float32. Every array has first derivatives in reverse mode.

    Args:
      x: tokens, float32 or bfloat16.
      reverse: run from the last token to the first; nothing is flipped in memory.
      scan: an implementation of `selective_scan`, for `separate`; None chooses one.
      implementation: one of `IMPLEMENTATIONS`. None chooses `pallas_tpu` on a TPU if the arrays fit, no scan is named,
        and the mesh does not shard channels; otherwise it chooses `separate`.

    Returns:
      an array like x, in x's dtype.

    Raises:
      ConfigError: for an unknown implementation or scan, or for `pallas_tpu` with a `scan` or with arrays that do not
        fit.

    Example:
      >>> ones = jnp.ones(2)
      >>> weights = vidjax.ops.BranchWeights(
      ...     taps=jnp.ones((1, 2)), taps_bias=0 * ones, x_proj=jnp.ones((2, 3)), dt_proj=jnp.zeros((1, 2)),
      ...     dt_bias=0 * ones, A=-jnp.ones((2, 1)), D=ones,
      ... )
      >>> vidjax.ops.mamba_branch(jnp.zeros((1, 3, 2)), weights).shape
      (1, 3, 2)
    """
    if implementation is not None and implementation not in IMPLEMENTATIONS:
        raise ConfigError(f"implementation={implementation!r} is unknown; choose one of {', '.join(IMPLEMENTATIONS)}")
    if implementation == "pallas_tpu" and scan is not None:
        raise ConfigError(f"scan={scan!r} does not apply to pallas_tpu, which has its own scan; set only one of them")
    projections = {name: getattr(weights, name).astype(x.dtype) for name in ("x_proj", "dt_proj")}
    weights, free = weights._replace(**projections), free_axes()
    shared = math.prod(free.get(axis, 1) for axis in CHANNELS) > 1
    if implementation == "separate" or scan is not None or (shared and implementation is None):
        return _separate(x, *weights, reverse=reverse, scan=scan)
    branch = _by_platform if implementation is None else _fused
    return on_each_device(functools.partial(branch, reverse=reverse), _AXES, x, *weights)


def _by_platform(x, *weights, reverse):
    fused, default = (functools.partial(branch, reverse=reverse) for branch in (_fused, _separate))
    tpu = fused if fits(x, BranchWeights(*weights)) else default
    return platforms.dispatch(x, *weights, tpu=tpu, default=default)


def _fused(x, *weights, reverse):
    return pallas_tpu(x, BranchWeights(*weights), reverse)


def scan_operands(
    x: Float[Array, "b l d"], weights: BranchWeights, *, reverse: bool = False
) -> tuple[Float[Array, "b l d"], Float[Array, "b l d"], Float[Array, "b l s"], Float[Array, "b l s"]]:
    """Compute the operands of a branch's scan: inputs, step sizes before bias and softplus, B and C.

    Args:
      x, weights, reverse: as in `mamba_branch`, with the projections in x's dtype.
    """
    w = weights
    rank, states = w.dt_proj.shape[0], w.A.shape[1]
    u = causal_conv_silu(x, w.taps, w.taps_bias, reverse=reverse)
    dt, B, C = jnp.split(_product(u, w.x_proj), (rank, rank + states), axis=-1)
    return u, _product(dt, w.dt_proj), B, C


def _separate(x, *weights, reverse, scan=None):
    w = BranchWeights(*weights)
    u, dt, B, C = scan_operands(x, w, reverse=reverse)
    return selective_scan(u, dt, w.A, B, C, w.D, dt_bias=w.dt_bias, reverse=reverse, implementation=scan)


def _product(x, kernel):
    return product_by_rows(x, kernel, jnp.matmul)


IMPLEMENTATIONS = {"separate": _separate, "pallas_tpu": _fused}
