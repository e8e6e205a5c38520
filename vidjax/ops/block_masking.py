"""Multi-block masks for feature prediction (V-JEPA 2): several random rectangles are hidden in all frames.

The masks are those of the authors' `src/masks/multiseq_multiblock3d.py` (`facebookresearch/vjepa2`), with lengths that
do not depend on the batch. Tokens are numbered as in `vidjax.ops.masking`.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Key

from vidjax.errors import ConfigError
from vidjax.ops.masking import Grid

TRIES = 8  # draws per clip; the first with enough visible and enough hidden tokens is taken
_BATCHES = 256  # simulated batches, for the average of the shortest masks


@dataclasses.dataclass(frozen=True)
class Blocks:
    """A distribution of masks.

    Attributes:
      number: blocks per mask; they may overlap.
      area: a block's share of the frame's area.
      aspect: smallest and largest height / width of a block. A mask draws one, and all its blocks have that shape.
      clips: clips per GPU in the authors' training; the shortest mask among them sets the number of tokens.

    Raises:
      ConfigError: for a number, an area or an aspect that no block can have.

    Example:
      >>> vidjax.ops.Blocks(number=8, area=0.15)
      Blocks(number=8, area=0.15, aspect=(0.75, 1.5), clips=24)
    """

    number: int
    area: float
    aspect: tuple[float, float] = (0.75, 1.5)
    clips: int = 24

    def __post_init__(self):
        if self.number < 1 or not 0 < self.area <= 1:
            raise ConfigError(
                f"a mask of {self.number} blocks of {self.area} of the frame's area cannot be drawn; use 1 block or "
                "more in jepa.blocks, and shares above 0 and up to 1 in jepa.block_area"
            )
        if not 0 < self.aspect[0] <= self.aspect[1]:
            raise ConfigError(f"jepa.block_aspect={self.aspect} must be two positive numbers, the smaller one first")


@functools.cache
def num_block_tokens(grid: Grid, blocks: Blocks) -> tuple[int, int]:
    """Return how many tokens of a clip the encoder sees, and how many the predictor predicts.

    The authors shorten the masks of a GPU's clips to the shortest among them, which differs from batch to batch. Here
    both numbers are the average of the shortest masks in batches of `blocks.clips` clips, from a simulation with a
    fixed seed, rounded down to whole places (in every time slice).

    Raises:
      ConfigError: if nothing would be seen, or nothing predicted.

    Example:
      >>> vidjax.ops.num_block_tokens((8, 16, 16), vidjax.ops.Blocks(8, 0.15))
      (496, 968)
    """
    t, h, w = grid
    rng = np.random.RandomState(0)  # its numbers are the same in every version of NumPy
    per_mask = _BATCHES, blocks.clips, blocks.number
    high, wide = (size[:, None, None] for size in _block_size(rng.uniform(*blocks.aspect, _BATCHES), grid, blocks))
    top, left = (np.floor(rng.uniform(size=per_mask) * (n - size + 1)) for n, size in ((h, high), (w, wide)))
    rows, columns = (
        (first[..., None] <= np.arange(n)) & (np.arange(n) < (first + size)[..., None])
        for n, first, size in ((h, top, high), (w, left, wide))
    )
    hidden = np.zeros((*per_mask[:2], h, w), bool)
    for block in range(blocks.number):
        hidden |= rows[:, :, block, :, None] & columns[:, :, block, None, :]
    predicted = hidden.sum(axis=(2, 3))
    seen = h * w - predicted
    seen = np.where(seen, seen, seen.max())  # a mask that hides everything is drawn again
    seen, predicted = (math.floor(places.min(axis=1).mean()) for places in (seen, predicted))
    if not (seen and predicted):
        lost, use = ("see", "fewer or smaller") if predicted else ("predict", "larger")
        raise ConfigError(
            f"{blocks.number} blocks of {blocks.area} of the frame's area (jepa.blocks, jepa.block_area) leave nothing "
            f"to {lost} on the grid {t}x{h}x{w} (t h w); use {use} blocks, or a larger data.image_size"
        )
    return t * seen, t * predicted


def block_mask(
    rng: Key[Array, ""], batch: int, grid: Grid, blocks: Blocks
) -> tuple[Int[Array, "b k"], Int[Array, "b m"]]:
    """Hide the same random blocks in every time slice.

    The numbers of tokens are those of `num_block_tokens`. As in the authors' code, a mask is cut at its end: the first
    k visible tokens are seen and the first m hidden tokens are predicted, so the last time slices lose most. If a
    clip's mask is too short for that, another is drawn; if all `TRIES` draws are too short, some visible tokens are
    predicted or some hidden ones seen. No token is both seen and predicted.

    Args:
      rng: a key; each row of the batch draws its own mask.
      batch: number of rows.
      grid: tubelets along time, height and width.
      blocks: number and shape of the blocks.

    Returns:
      indices of the tokens that the encoder sees and of those to predict, each ascending.

    Raises:
      ConfigError: if nothing would be seen, or nothing predicted.

    Example:
      >>> seen, predicted = vidjax.ops.block_mask(jax.random.key(0), 2, (4, 8, 8), vidjax.ops.Blocks(2, 0.7))
      >>> seen.shape, predicted.shape
      ((2, 20), (2, 176))
    """
    k, m = num_block_tokens(grid, blocks)

    def of_row(key):
        hidden = _hide(key, grid, blocks, (k, m))
        order = jnp.argsort(hidden).astype(jnp.int32)  # stable: visible tokens in their order, then hidden ones
        num_visible = jnp.sum(~hidden)
        return order[:k], jax.lax.dynamic_slice(order, [jnp.clip(num_visible, k, len(order) - m)], [m])

    return jax.vmap(of_row)(jax.random.split(rng, batch))


def _hide(rng: Key[Array, ""], grid: Grid, blocks: Blocks, wanted: tuple[int, int]) -> Bool[Array, " n"]:
    """Mark a clip's hidden tokens: the first of `TRIES` draws with enough tokens, else the one that lacks fewest."""
    t, h, w = grid
    (k, m), places = wanted, h * w
    unit = jax.random.uniform(rng, (TRIES, 2 * blocks.number + 1, 1))
    smallest, largest = blocks.aspect
    high, wide = _block_size(smallest + (largest - smallest) * unit[:, :1], grid, blocks)
    top = jnp.floor(unit[:, 1 : blocks.number + 1] * (h - high + 1))
    left = jnp.floor(unit[:, blocks.number + 1 :] * (w - wide + 1))
    rows = (top <= jnp.arange(h)) & (jnp.arange(h) < top + high)
    columns = (left <= jnp.arange(w)) & (jnp.arange(w) < left + wide)
    drawn = jnp.any(rows[:, :, :, None] & columns[:, :, None, :], axis=1).reshape(TRIES, places)
    predicted = t * drawn.sum(axis=1)
    lacking = jnp.maximum(k - (t * places - predicted), 0) + jnp.maximum(m - predicted, 0)
    return jnp.tile(drawn[jnp.argmin(lacking)], t)


def _block_size(aspect, grid: Grid, blocks: Blocks):
    """Return the height and width in tokens of blocks with the given aspect (height / width)."""
    _, h, w = grid
    xp = jnp if isinstance(aspect, jax.Array) else np
    area = int(h * w * blocks.area)
    return xp.minimum(xp.round(xp.sqrt(area * aspect)), h), xp.minimum(xp.round(xp.sqrt(area / aspect)), w)
