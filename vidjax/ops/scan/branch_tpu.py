"""A whole Mamba branch as two TPU kernels, forward and backward.

The forward kernel saves only the scan's states between chunks. The backward kernel recomputes everything else from
these and from the input. Time is the last axis of the grid, in either direction; nothing is flipped in memory.
"""

import dataclasses
import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float

from vidjax.errors import ConfigError
from vidjax.ops.scan import branch_kernels, tpu_blocks
from vidjax.ops.scan.conv_tpu import MOST_TAPS, beside_chunk
from vidjax.ops.scan.tpu_blocks import ROWS, Blocks, compiler_params
from vidjax.ops.scan.tpu_kernels import LN2
from vidjax.ops.scan.tpu_tokens import LANES
from vidjax.ops.tpu import core_memory, output

KEPT = "scan"  # the name by which rematerialisation policies select the states that the forward pass saves


class BranchWeights(NamedTuple):
    """The weights of `vidjax.ops.mamba_branch`, for k taps, rank r of dt, and s states for each of d channels.

    Example:
      >>> ones = jnp.ones(2)
      >>> weights = vidjax.ops.BranchWeights(
      ...     taps=jnp.ones((1, 2)), taps_bias=0 * ones, x_proj=jnp.ones((2, 3)), dt_proj=jnp.zeros((1, 2)),
      ...     dt_bias=0 * ones, A=-jnp.ones((2, 1)), D=ones,
      ... )
      >>> weights.x_proj.shape  # 1 for dt, 1 for B, 1 for C
      (2, 3)
    """

    taps: Float[Array, "k d"]
    taps_bias: Float[Array, " d"]
    x_proj: Float[Array, "d p"]  # to dt, B and C: p = r + 2 s
    dt_proj: Float[Array, "r d"]
    dt_bias: Float[Array, " d"]
    A: Float[Array, "d s"]
    D: Float[Array, " d"]


def fits(x, weights: BranchWeights) -> bool:
    """Return whether the kernels support these arrays; the error message of `_cut` states the limits."""
    return _longest(x, weights) is not None


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def pallas_tpu(x, weights: BranchWeights, reverse: bool):
    """See `vidjax.ops.mamba_branch`.

    Raises:
      ConfigError: for arrays that do not fit.
    """
    return _forward(x, weights, reverse)[0]


def _forward(x, weights, reverse):
    cut = _cut(x, weights)
    blocks, flipped = cut.blocks, reverse
    tokens = blocks.tokens(flipped)
    y, states = pl.pallas_call(
        functools.partial(branch_kernels.forward, sizes=cut.sizes, reverse=reverse),
        grid=blocks.grid,
        in_specs=[tokens, beside_chunk(blocks, reverse, flipped), *cut.weight_specs()],
        out_specs=[tokens, blocks.boundaries(flipped)],
        out_shape=[
            output(x, (blocks.length, blocks.batch, blocks.channels), x.dtype),
            output(x, (blocks.chunks, blocks.states, blocks.batch, blocks.channels)),
        ],
        scratch_shapes=[blocks.scratch(*axes) for axes in ("srd", "trd", "trd", ("t", "r", "lane"))],
        compiler_params=compiler_params(),
        name="mamba_branch",
    )(*[blocks.to_tokens(x)] * 2, *cut.to_kernel(weights, x.dtype))
    return blocks.from_tokens(y), (x, weights, checkpoint_name(states, KEPT))


def _backward(reverse, residuals, dy):
    x, weights, states = residuals
    cut = _cut(x, weights)
    blocks, flipped = cut.blocks, not reverse
    tokens, seen = blocks.tokens(flipped), blocks.to_tokens(x)
    per_channel = blocks.batch, blocks.channels
    by_tap, by_state, by_lane = (cut.taps, *per_channel), (blocks.states, *per_channel), (blocks.grid[0], LANES)
    of_rows = {"taps": by_tap, "taps_bias": per_channel, "x_proj": (*by_lane, blocks.channels)}
    of_rows |= {"dt_proj": (*by_lane, blocks.channels), "dt_bias": per_channel, "A": by_state, "D": per_channel}
    dx, *gradients = pl.pallas_call(
        functools.partial(branch_kernels.backward, sizes=cut.sizes, reverse=reverse),
        grid=blocks.grid,
        in_specs=[
            tokens, beside_chunk(blocks, reverse, flipped), tokens, blocks.boundaries(flipped), *cut.weight_specs()
        ],
        out_specs=[tokens, *cut.gradient_specs()],
        out_shape=[output(x, seen.shape, x.dtype), *(output(x, shape) for shape in of_rows.values())],
        scratch_shapes=cut.backward_scratch(),
        compiler_params=compiler_params(),
        name="mamba_branch_backward",
    )(seen, seen, blocks.to_tokens(dy), states, *cut.to_kernel(weights, x.dtype))  # fmt: skip
    return blocks.from_tokens(dx), cut.from_kernel(gradients, weights)


pallas_tpu.defvjp(_forward, _backward)


@dataclasses.dataclass(frozen=True)
class _Cut:
    """A branch cut into blocks as for a scan, but with all channels in each block.

    Attributes:
      taps: number of taps of the convolution.
      rank: rank of dt.
    """

    blocks: Blocks
    taps: int
    rank: int

    @property
    def sizes(self) -> tuple[int, int]:
        """Length of the sequence and rank of dt."""
        return self.blocks.length, self.rank

    @property
    def vmem_bytes(self) -> int:
        """Bytes that the backward kernel needs: scratch, two buffers per block, and room for matrix products."""
        blocks = self.blocks
        scratch = sum(4 * math.prod(ref.shape) for ref in self.backward_scratch())
        token = 4 * blocks.chunk * ROWS * blocks.channels  # float32
        weights = 4 * blocks.channels * (4 * LANES + 2 * ROWS * (self.taps + blocks.states + 3))
        return scratch + 2 * (3 * token + weights) + 2 * token

    def weight_specs(self) -> list[pl.BlockSpec]:
        """Specs of the arrays that `to_kernel` returns; each block is the whole array."""
        channels, states = self.blocks.channels, self.blocks.states
        vector, lanes = (ROWS, channels), (LANES, channels)
        shapes = (self.taps, *vector), vector, lanes[::-1], lanes, vector, (states, *vector), vector
        return [pl.BlockSpec(shape, functools.partial(_first_block, len(shape))) for shape in shapes]

    def gradient_specs(self) -> list[pl.BlockSpec]:
        """Specs of the weights' gradients, which are separate for each block of rows."""
        channels, states = self.blocks.channels, self.blocks.states
        vector = pl.BlockSpec((ROWS, channels), lambda r, d, n: (r, 0))
        taps, rates = (
            pl.BlockSpec((count, ROWS, channels), lambda r, d, n: (0, r, 0)) for count in (self.taps, states)
        )
        proj = pl.BlockSpec((1, LANES, channels), lambda r, d, n: (r, 0, 0))
        return [taps, vector, proj, proj, vector, rates, vector]

    def backward_scratch(self) -> list[pl.MemoryRef]:
        """Float32 scratch, in the order of `branch_kernels.backward`."""
        blocks = self.blocks
        per_token, per_state, by_lane = (blocks.scratch(*axes) for axes in ("trd", "srd", ("t", "r", "lane")))
        after = pltpu.VMEM((self.taps, ROWS, blocks.channels), jnp.float32)
        kept = pltpu.VMEM((blocks.chunk + 1, blocks.states, ROWS, blocks.channels), jnp.float32)
        return [after, per_state, *[per_token] * 3, by_lane, by_lane, kept]

    def to_kernel(self, weights: BranchWeights, dtype) -> BranchWeights:
        """Return the weights in the layout that the kernel reads.

        Weights per channel are cast to float32 and repeated for each row of a register; the projections are cast to
        `dtype` and padded with zeros. A is transposed and divided by ln 2.
        """
        rows, p = self.blocks.to_rows, weights.x_proj.shape[1]
        return BranchWeights(
            taps=rows(weights.taps),
            taps_bias=rows(weights.taps_bias),
            x_proj=jnp.pad(weights.x_proj.astype(dtype), ((0, 0), (0, LANES - p))),
            dt_proj=jnp.pad(weights.dt_proj.astype(dtype), ((0, LANES - self.rank), (0, 0))),
            dt_bias=rows(weights.dt_bias),
            A=rows(weights.A.astype(jnp.float32).T / LN2),
            D=rows(weights.D),
        )

    def from_kernel(self, gradients, weights: BranchWeights) -> BranchWeights:
        """Sum the gradients over blocks of rows, and give them the shapes and dtypes of `weights`."""
        found = BranchWeights(*gradients)
        rows, p = self.blocks.from_rows, weights.x_proj.shape[1]
        summed = BranchWeights(
            taps=rows(found.taps),
            taps_bias=rows(found.taps_bias),
            x_proj=found.x_proj.sum(axis=0)[:p].T,
            dt_proj=found.dt_proj.sum(axis=0)[: self.rank],
            dt_bias=rows(found.dt_bias),
            A=rows(found.A).T,
            D=rows(found.D),
        )
        return jax.tree.map(lambda gradient, weight: gradient.astype(weight.dtype), summed, weights)


def _first_block(axes, *_):
    return (0,) * axes


def _cut(x, weights: BranchWeights) -> _Cut:
    cut = _longest(x, weights)
    if cut is None:
        raise ConfigError(
            f"pallas_tpu takes float32 or bfloat16, multiples of {ROWS} rows and of {LANES} channels per device, up to "
            f"{MOST_TAPS} taps and {LANES} channels from x_proj, within a core's {core_memory() / 1e6:.0f} MB; here, "
            f"x is {x.dtype} {x.shape}, with {weights.taps.shape[0]} taps and {weights.x_proj.shape[1]} such channels; "
            "use implementation='separate' or leave it empty"
        )
    return cut


def _longest(x, weights: BranchWeights) -> _Cut | None:
    """Return the cut with the longest chunks that need at most 90% of a core's memory, or None if nothing fits."""
    (taps, d), rank, states = weights.taps.shape, weights.dt_proj.shape[0], weights.A.shape[1]
    whole = x.size and x.shape[0] % ROWS == 0 and d % LANES == 0 and weights.x_proj.shape[1] <= LANES
    if not whole or taps > MOST_TAPS or x.dtype not in (jnp.float32, jnp.bfloat16):
        return None
    found = (_Cut(Blocks(*x.shape, states, most, d // LANES), taps, rank) for most in tpu_blocks.CHUNKS)
    return next((cut for cut in found if cut.vmem_bytes <= 0.9 * core_memory()), None)
