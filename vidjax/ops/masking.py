"""Token masks as lists of indices, whose lengths are fixed by the grid and the mask ratio.

The encoder's masks follow VideoMAE (arXiv:2203.12602, section 3), and the decoder's follow VideoMAE V2
(arXiv:2303.16727, section 3.2). On the grid (t, h, w) of tubelets, the token at time z, row y and column x has the
index (z * h + y) * w + x.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from vidjax.errors import ConfigError

Grid = tuple[int, int, int]
CELL = 2  # side of a running cell in tokens


def num_masked(grid: Grid, ratio: float, kind: str = "tube", key: str = "model.mask_ratio") -> int:
    """Return how many of the t * h * w tokens a mask hides.

    A mask hides whole units: places (in every time slice) for `tube`, tokens for `random`, and time slices for `frame`.
    The number of hidden units is rounded down: a tube mask with a ratio of 0.9 hides 176 of the 196 places of a 14x14
    grid. Error messages call the ratio `key`.

    Raises:
      ConfigError: for an unknown kind, or if nothing or everything would be hidden.

    Example:
      >>> vidjax.ops.num_masked((8, 14, 14), 0.9)
      1408
    """
    t, h, w = grid
    if kind not in MASKS:
        raise ConfigError(f"model.mask={kind!r} is unknown; choose one of {', '.join(MASKS)}")
    units, size = MASKS[kind].units(t, h, w)
    hidden = int(ratio * units)
    if not 0 < hidden < units:
        raise ConfigError(
            f"{key}={ratio} hides {hidden} of the {units} units of a {kind} mask on the grid {t}x{h}x{w} "
            "(t h w); choose a ratio that hides at least one and keeps at least one"
        )
    return hidden * size


def tube_mask(rng: Key[Array, ""], batch: int, grid: Grid, ratio: float) -> tuple[Int[Array, "b k"], Int[Array, "b m"]]:
    """Hide the same random places in every time slice.

    Args:
      rng: a key; each row of the batch draws its own mask.
      batch: number of rows.
      grid: tubelets along time, height and width.
      ratio: hidden share of each slice, in (0, 1).

    Returns:
      visible and masked token indices, each ascending; together they cover all tokens.

    Example:
      >>> visible, masked = vidjax.ops.tube_mask(jax.random.key(0), batch=2, grid=(2, 4, 4), ratio=0.75)
      >>> visible.shape, masked.shape
      ((2, 8), (2, 24))
      >>> (visible[:, 4:] - visible[:, :4]).tolist()  # the same places, 16 tokens later
      [[16, 16, 16, 16], [16, 16, 16, 16]]
    """
    t, h, w = grid
    visible, masked = _split(rng, batch, h * w, num_masked(grid, ratio, "tube") // t)
    starts = jnp.arange(t, dtype=jnp.int32)[:, None] * (h * w)
    return tuple((starts + places[:, None, :]).reshape(batch, -1) for places in (visible, masked))


def random_mask(
    rng: Key[Array, ""], batch: int, grid: Grid, ratio: float
) -> tuple[Int[Array, "b k"], Int[Array, "b m"]]:
    """Hide random tokens, whatever their place and time; arguments and result are as in `tube_mask`.

    Example:
      >>> visible, masked = vidjax.ops.random_mask(jax.random.key(0), batch=2, grid=(2, 4, 4), ratio=0.75)
      >>> visible.shape, masked.shape
      ((2, 8), (2, 24))
    """
    t, h, w = grid
    return _split(rng, batch, t * h * w, num_masked(grid, ratio, "random"))


def frame_mask(
    rng: Key[Array, ""], batch: int, grid: Grid, ratio: float
) -> tuple[Int[Array, "b k"], Int[Array, "b m"]]:
    """Hide random time slices as a whole; arguments and result are as in `tube_mask`.

    Example:
      >>> visible, masked = vidjax.ops.frame_mask(jax.random.key(0), batch=1, grid=(4, 1, 2), ratio=0.5)
      >>> visible.shape, masked.shape
      ((1, 4), (1, 4))
    """
    t, h, w = grid
    visible, masked = _split(rng, batch, t, num_masked(grid, ratio, "frame") // (h * w))
    places = jnp.arange(h * w, dtype=jnp.int32)
    return tuple((slices[:, :, None] * (h * w) + places).reshape(batch, -1) for slices in (visible, masked))


def attention_mask(rng: Key[Array, ""], attention: Float[Array, "t n"], ratio: float) -> Int[Array, " v"]:
    """Keep random tokens of each frame, drawn in proportion to a teacher's attention.

    The places with the largest log(attention) plus Gumbel noise are kept, which is a draw without replacement (Kool et
    al. 2019, arXiv:1903.06059). The number of hidden places per frame is rounded down.

    Args:
      rng: a key.
      attention: the teacher's attention to each frame's n places; non-negative, with any sum.
      ratio: hidden share of each frame, in (0, 1).

    Returns:
      indices of the tokens that stay visible, ascending, time first.

    Source: UMT, arXiv:2303.16058, section 3, and VideoMamba's `engine_for_pretraining_videomamba.py:72`.

    Example:
      >>> vidjax.ops.attention_mask(jax.random.key(0), jnp.array([[0.0, 0.5, 0.0, 0.5]]), ratio=0.5)
      Array([1, 3], dtype=int32)
    """
    t, n = attention.shape
    scores = jnp.log(attention.astype(jnp.float32)) + jax.random.gumbel(rng, (t, n))
    places = jnp.sort(jax.lax.top_k(scores, n - num_masked((1, 1, n), ratio))[1], axis=1)
    return (places + jnp.arange(t, dtype=jnp.int32)[:, None] * n).reshape(-1).astype(jnp.int32)


def num_kept(grid: Grid, ratio: float) -> int:
    """Return how many of the t * h * w tokens a running-cell mask keeps if it drops the share `ratio`.

    Raises:
      ConfigError: if cells do not tile a slice, or if all or none of a cell's places would be kept.

    Example:
      >>> vidjax.ops.num_kept((8, 14, 14), 0.5)
      784
    """
    t, h, w = grid
    if h % CELL or w % CELL:
        raise ConfigError(
            f"model.decoder_mask=running_cell needs an even number of tokens along height and width, not {h}x{w}; use "
            "a data.image_size that is an even multiple of the patch size, or model.decoder_mask='' to predict all "
            "masked tokens"
        )
    dropped = int(ratio * CELL**2)
    if not 0 < dropped < CELL**2:
        raise ConfigError(
            f"model.decoder_mask_ratio={ratio} drops {dropped} of the {CELL**2} places of a running cell; "
            "use 0.25, 0.5 or 0.75"
        )
    return t * h * w * (CELL**2 - dropped) // CELL**2


def running_cell_mask(rng: Key[Array, ""], batch: int, grid: Grid, ratio: float) -> Int[Array, "b q"]:
    """Choose the tokens that a decoder predicts: some places of each 2x2 cell, shifted by one place per time slice.

    The places of a cell are numbered row by row, and the kept ones have consecutive numbers (modulo 4). Over 4 slices,
    every place is kept equally often. Each row of the batch starts at a random place.

    Args:
      rng: a key.
      batch: number of rows.
      grid: tubelets along time, height and width; height and width even.
      ratio: dropped share of each cell, 0.25, 0.5 or 0.75.

    Returns:
      kept token indices, ascending. As in the authors' code, they do not depend on the encoder's mask, so the
      encoder sees some of them.

    Example:
      >>> vidjax.ops.running_cell_mask(jax.random.key(0), batch=2, grid=(4, 2, 2), ratio=0.5).shape
      (2, 8)
    """
    t, h, w = grid
    q = num_kept(grid, ratio)
    places = np.arange(h)[:, None] % CELL * CELL + np.arange(w) % CELL
    starts = np.arange(CELL**2)[:, None, None, None]
    kept = (places + starts + np.arange(t)[:, None, None]) % CELL**2 < CELL**2 * q // (t * h * w)
    table = np.stack([np.flatnonzero(row) for row in kept]).astype(np.int32)
    return jnp.asarray(table)[jax.random.randint(rng, (batch,), 0, CELL**2)]


def _split(rng: Key[Array, ""], batch: int, units: int, hidden: int):
    """Draw two ascending index lists per row: `units - hidden` random units, and the rest."""
    order = jnp.argsort(jax.random.uniform(rng, (batch, units)), axis=1).astype(jnp.int32)
    keep = units - hidden
    return jnp.sort(order[:, :keep], axis=1), jnp.sort(order[:, keep:], axis=1)


@dataclasses.dataclass(frozen=True)
class Mask:
    """A way to hide tokens from the encoder.

    Attributes:
      draw: returns visible and masked token indices; arguments and result are as in `tube_mask`.
      units: maps t, h and w to the number of units that can be hidden, and the tokens per unit.
    """

    draw: Callable[[Key[Array, ""], int, Grid, float], tuple[Int[Array, "b k"], Int[Array, "b m"]]]
    units: Callable[[int, int, int], tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class DecoderMask:
    """A way to choose the tokens that the decoder predicts.

    Attributes:
      draw: returns the indices of these tokens; arguments and result are as in `running_cell_mask`.
      num_kept: maps a grid and a ratio to the number of these tokens.
    """

    draw: Callable[[Key[Array, ""], int, Grid, float], Int[Array, "b q"]]
    num_kept: Callable[[Grid, float], int]


# The choices of model.mask (besides attention) and jepa.mask (besides blocks), and of model.decoder_mask.
MASKS = {
    "tube": Mask(tube_mask, lambda t, h, w: (h * w, t)),
    "random": Mask(random_mask, lambda t, h, w: (t * h * w, 1)),
    "frame": Mask(frame_mask, lambda t, h, w: (t, h * w)),
}
DECODER_MASKS = {"running_cell": DecoderMask(running_cell_mask, num_kept)}
