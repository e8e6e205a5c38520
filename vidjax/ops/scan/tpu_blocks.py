"""Cut the arrays of a selective scan into blocks for its TPU kernels.

Arrays are time-major (l b d). Channels are cut into blocks. If the batch has fewer rows than a register, the channels
of a block are cut into parts that count as rows. Time is cut into chunks; if `flipped`, the last chunk comes first.
"""

import dataclasses
import math

import jax.numpy as jnp
from einops import rearrange, repeat
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from vidjax.errors import ConfigError
from vidjax.ops.scan.tpu_tokens import LANES, UNROLL
from vidjax.ops.tpu import core_memory

ROWS = 8  # of a register
CHUNKS = (64, 48, 32, 16, 8)  # the most tokens per chunk; the first that fits is used
TILES = 9  # the most registers side by side in a block: 1152 channels


def largest(x, dt, states: int) -> "Blocks":
    """Return the blocks with the longest chunks that need at most 90% of a core's memory.

    Raises:
      ConfigError: if there are none; see `fits`.
    """
    blocks = _largest(x, dt, states)
    if blocks is None:
        raise ConfigError(
            f"scan='pallas_tpu' cannot run here: x ({x.dtype}) and dt ({dt.dtype}) must be float32 or bfloat16, and "
            f"{states} states per channel must fit in a core's {core_memory() / 1e6:.0f} MB; use scan='chunked' or "
            "leave it empty"
        )
    return blocks


def fits(x, dt, states: int) -> bool:
    """Return whether x is not empty, dtypes are float32 or bfloat16, and a short chunk fits in a core's memory."""
    return _largest(x, dt, states) is not None


def _largest(x, dt, states: int) -> "Blocks | None":
    if x.size == 0 or not {x.dtype, dt.dtype} <= {jnp.dtype(jnp.float32), jnp.dtype(jnp.bfloat16)}:
        return None
    found = (Blocks(*x.shape, states, most) for most in CHUNKS)
    return next((blocks for blocks in found if blocks.vmem_bytes(x, dt) <= 0.9 * core_memory()), None)


def compiler_params() -> pltpu.CompilerParams:
    """Return compiler parameters: blocks of rows and of channels run in any order, and chunks one after another."""
    return pltpu.CompilerParams(
        dimension_semantics=("parallel", "parallel", "arbitrary"), vmem_limit_bytes=core_memory()
    )


@dataclasses.dataclass(frozen=True)
class Blocks:
    """Sizes and block specifications for arrays (b l d) with s states per channel.

    Attributes:
      most: most tokens per chunk.
      tiles: most registers side by side in a block of channels.
    """

    batch: int
    length: int
    channels: int
    states: int
    most: int
    tiles: int = TILES

    @property
    def parts(self) -> int:
        """Parts per block of channels: the smallest number that needs the fewest registers."""
        return min(range(1, max(1, ROWS // self.batch) + 1), key=self._tiles)

    def _tiles(self, parts: int) -> int:
        """Return the registers side by side in one part, if a row's channels are cut into `parts`."""
        return math.ceil(math.ceil(self.channels / LANES) / parts)

    @property
    def count(self) -> int:
        """Number of blocks of channels."""
        return math.ceil(self._tiles(self.parts) / self.tiles)

    @property
    def width(self) -> int:
        """Channels per part."""
        return math.ceil(self._tiles(self.parts) / self.count) * LANES

    @property
    def filled(self) -> int:
        """Channels of the kernels' arrays, padded to whole registers."""
        return math.ceil(self.channels / LANES) * LANES

    @property
    def rows(self) -> int:
        return self.parts * self.batch

    @property
    def chunks(self) -> int:
        return math.ceil(self.length / self.most)

    @property
    def chunk(self) -> int:
        """Tokens per chunk; the kernels ignore those beyond the sequence."""
        return math.ceil(self.length / self.chunks / UNROLL) * UNROLL

    @property
    def grid(self) -> tuple[int, int, int]:
        return math.ceil(self.rows / ROWS), self.count, self.chunks

    def vmem_bytes(self, x, dt) -> int:
        """Return the backward kernel's bytes of scratch and of two buffers per block; the forward kernel needs less."""
        filled = (2 ** math.ceil(math.log2(n)) for n in (self.block_rows, self.block_rows // self.parts))
        rows, rows_of_tokens = filled  # in memory, rows are padded to a power of two
        lanes = math.ceil(self.states / LANES) * LANES
        scratch = rows * (self.chunk * (4 * self.states + 3) * LANES + self.states * self.width)
        token = rows_of_tokens * self.parts * self.width * (3 * x.dtype.itemsize + 2 * dt.dtype.itemsize)
        states = 4 * 3 * (self.states + 2) * rows * self.width
        return 4 * scratch + 2 * (self.chunk * (token + 16 * rows * lanes) + states)

    @property
    def block_rows(self) -> int:
        """Rows per block."""
        return min(ROWS, self.rows)

    def tokens(self, flipped: bool) -> pl.BlockSpec:
        """Spec of x, dt and y (l b filled)."""
        shape = (self.chunk, self.block_rows // self.parts, self.parts * self.width)
        return pl.BlockSpec(shape, lambda r, d, n: (self.at(n, flipped), r, d))

    def per_state(self, flipped: bool) -> pl.BlockSpec:
        """Spec of B and C (l b s)."""
        shape = (self.chunk, self.block_rows // self.parts, self.states)
        return pl.BlockSpec(shape, lambda r, d, n: (self.at(n, flipped), r, 0))

    def per_state_of_blocks(self, flipped: bool) -> pl.BlockSpec:
        """Spec of the gradients (count l rows lane) of B and C, separate for each block of channels and each part."""
        shape = (1, self.chunk, self.block_rows, LANES)
        return pl.BlockSpec(shape, lambda r, d, n: (d, self.at(n, flipped), r, 0))

    def boundaries(self, flipped: bool) -> pl.BlockSpec:
        """Spec of the states (chunks s rows count*width) before each chunk."""
        shape = (1, self.states, self.block_rows, self.width)
        return pl.BlockSpec(shape, lambda r, d, n: (self.at(n, flipped), 0, r, d))

    def at(self, chunk, flipped):
        return self.chunks - 1 - chunk if flipped else chunk

    def of_channels(self, of_rows: bool) -> list[pl.BlockSpec]:
        """Specs of A (s r count*width) and of D and the bias; with `of_rows`, specs of their gradients, by row."""
        row = int(of_rows)
        return [
            pl.BlockSpec((self.states, self.block_rows, self.width), lambda r, d, n: (0, row * r, d)),
            pl.BlockSpec((self.block_rows, self.width), lambda r, d, n: (row * r, d)),
        ]

    def to_rows(self, weights):
        """Repeat weights of channels (... d), in float32, for every row of a block (... r count*width)."""
        filled = _fill(weights.astype(jnp.float32), self.count * self.parts * self.width)
        sizes = {"n": self.count, "f": self.parts, "b": self.block_rows // self.parts}
        return repeat(filled, "... (n f d) -> ... (f b) (n d)", **sizes)

    def from_rows(self, gradients):
        """Sum each channel's gradient over rows, from (... rows count*width) to (... d)."""
        sizes = {"n": self.count, "f": self.parts}
        return rearrange(gradients, "... (f b) (n d) -> b ... (n f d)", **sizes).sum(axis=0)[..., : self.channels]

    def from_blocks(self, gradients):
        """Sum each state's gradient over blocks and parts, from (count l rows lane) to (b l s)."""
        return rearrange(gradients[..., : self.states], "n l (f b) s -> b l s (n f)", f=self.parts).sum(axis=-1)

    def to_tokens(self, x):
        return _fill(rearrange(x, "b l d -> l b d"), self.filled)

    def from_tokens(self, x):
        return rearrange(x[..., : self.channels], "l b d -> b l d")

    def scratch(self, *shape: str) -> pl.MemoryRef:
        """Float32 scratch with the named axes: "s", "r", "d" (channels of a part), "t" and "lane"."""
        sizes = {"s": self.states, "r": self.block_rows, "d": self.width, "t": self.chunk}
        return pltpu.VMEM(tuple(sizes.get(axis, LANES) for axis in shape), jnp.float32)


def _fill(x, channels):
    return jnp.pad(x, ((0, 0),) * (x.ndim - 1) + ((0, channels - x.shape[-1]),))
