"""The selective scan as two TPU kernels: forward, and a backward that rebuilds a chunk's states from those before it.

Inputs and outputs have their own dtypes, everything between is float32. Time is the last axis of the grid, in either
direction; nothing is flipped in memory.
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from vidjax.errors import ConfigError
from vidjax.ops.scan import tpu_kernels
from vidjax.ops.scan.tpu_blocks import largest

VMEM = 64 * 2**20  # bytes of a core, at least, in the TPUs since v5e
SMALL_VMEM = {"TPU v2": 2**24, "TPU v3": 2**24, "TPU v4": 2**24}


def pallas_tpu(x, dt, A, B, C, D, bias, softplus, reverse):
    """See `vidjax.ops.selective_scan`."""
    if not fits(x, dt, A):
        raise ConfigError(
            f"scan='pallas_tpu' cannot run here: {A.shape[1]} states a channel need more than a core's "
            f"{_vmem() / 1e6:.0f} MB; use scan='chunked' or leave it empty"
        )
    return _scan(x, dt, A, B, C, D, bias, softplus, reverse)


@functools.partial(jax.custom_vjp, nondiff_argnums=(7, 8))
def _scan(x, dt, A, B, C, D, bias, softplus, reverse):
    return _scan_forward(x, dt, A, B, C, D, bias, softplus, reverse)[0]


def _scan_forward(x, dt, A, B, C, D, bias, softplus, reverse):
    operands = x, dt, A, B, C, D, bias
    blocks = largest(x, dt, A, _vmem())
    spread, options = blocks.scratch("t", "s", "r", "lane"), _options(blocks, softplus, reverse)
    y, states = pl.pallas_call(
        functools.partial(tpu_kernels.forward, **options),
        grid=blocks.grid,
        in_specs=blocks.inputs(flipped=reverse),
        out_specs=[blocks.tokens(flipped=reverse), blocks.boundaries(flipped=reverse)],
        out_shape=[
            _like(x, (blocks.length, blocks.batch, blocks.filled), x.dtype),
            _like(x, (blocks.chunks, blocks.states, blocks.rows, blocks.count * blocks.width)),
        ],
        scratch_shapes=[blocks.scratch("s", "r", "d"), spread, spread, blocks.scratch("t", "r", "lane")],
        compiler_params=_params(),
        name="selective_scan",
    )(*blocks.operands(*operands))
    return blocks.from_tokens(y), (*operands, states)


def _scan_backward(softplus, reverse, residuals, dy):
    *operands, states = residuals
    x, dt, A, *_ = operands
    blocks, flipped = largest(x, dt, A, _vmem()), not reverse
    tokens, of_B = blocks.tokens(flipped), blocks.per_state_of_blocks(flipped)
    of_A, of_D = blocks.of_channels(of_rows=True)
    per_state = _like(x, (blocks.count, blocks.length, blocks.rows, blocks.states))
    per_channel = _like(x, (blocks.rows, blocks.count * blocks.width))
    spread, options = blocks.scratch("t", "s", "r", "lane"), _options(blocks, softplus, reverse)
    dx, ddt, *gradients = pl.pallas_call(
        functools.partial(tpu_kernels.backward, **options),
        grid=blocks.grid,
        in_specs=[*blocks.inputs(flipped), tokens, blocks.boundaries(flipped)],
        out_specs=[tokens, tokens, of_A, of_B, of_B, of_D, of_D],
        out_shape=[
            _like(x, (blocks.length, blocks.batch, blocks.filled), x.dtype),
            _like(x, (blocks.length, blocks.batch, blocks.filled), dt.dtype),
            _like(x, (blocks.states, blocks.rows, blocks.count * blocks.width)),
            per_state,
            per_state,
            per_channel,
            per_channel,
        ],
        scratch_shapes=[
            blocks.scratch("s", "r", "d"),
            spread,
            spread,
            blocks.scratch("t", "r", "lane"),
            blocks.scratch("t", "r", "lane"),
            spread,
            blocks.scratch("t", "r", "lane"),
            spread,
        ],
        compiler_params=_params(),
        name="selective_scan_backward",
    )(*blocks.operands(*operands), blocks.to_tokens(dy), states)
    gradients = (blocks.from_tokens(dx), blocks.from_tokens(ddt), *blocks.sum_rows(*gradients))
    return tuple(g.astype(operand.dtype) for g, operand in zip(gradients, operands, strict=True))


_scan.defvjp(_scan_forward, _scan_backward)


def fits(x, dt, A) -> bool:
    """Whether the states of a few tokens fit in the memory of a core."""
    return largest(x, dt, A, _vmem()) is not None


def _options(blocks, softplus, reverse):
    return {"sizes": (blocks.length, blocks.filled), "softplus": softplus, "reverse": reverse}


def _params():
    return pltpu.CompilerParams(dimension_semantics=("parallel", "parallel", "arbitrary"), vmem_limit_bytes=_vmem())


def _vmem() -> int:
    """Of a core of the mesh, which may be one to compile for only, or else of this machine."""
    device = jax.sharding.get_abstract_mesh().abstract_device or jax.devices()[0]
    return SMALL_VMEM.get(device.device_kind, VMEM)


def _like(x, shape, dtype=jnp.float32):
    """The type of an output, which varies over the same axes of a mesh as x does."""
    return jax.ShapeDtypeStruct(shape, dtype, manual_axis_type=jax.typeof(x).manual_axis_type)
