"""Token masks as two lists of indices whose lengths depend on shapes only (VideoMAE, section 3.2).

Tokens are numbered time first: index = (t * h + y) * w + x on the grid (t, h, w) of tubelets.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from vidjax.errors import ConfigError

Grid = tuple[int, int, int]
MASKS = ("tube", "random", "frame")


def num_masked(grid: Grid, ratio: float, kind: str = "tube") -> int:
    """How many of the t * h * w tokens a mask hides.

    The ratio is rounded down within the unit that is drawn: places of a slice for `tube`, tokens for `random`,
    slices for `frame`. On a 14x14 slice a ratio of 0.9 hides 176 places.

    Raises:
      ConfigError: for an unknown kind, or when nothing or everything would be hidden.
    """
    t, h, w = grid
    if kind not in MASKS:
        raise ConfigError(f"model.mask={kind!r} is unknown; choose one of {', '.join(MASKS)}")
    units, size = {"tube": (h * w, t), "random": (t * h * w, 1), "frame": (t, h * w)}[kind]
    hidden = int(ratio * units)
    if not 0 < hidden < units:
        raise ConfigError(
            f"model.mask_ratio={ratio} hides {hidden} of the {units} units of a {kind} mask on the grid {t}x{h}x{w} "
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
      visible and masked token indices, each ascending; together they are all tokens.
    """
    t, h, w = grid
    visible, masked = _split(rng, batch, h * w, num_masked(grid, ratio, "tube") // t)
    starts = jnp.arange(t, dtype=jnp.int32)[:, None] * (h * w)
    return tuple((starts + places[:, None, :]).reshape(batch, -1) for places in (visible, masked))


def random_mask(
    rng: Key[Array, ""], batch: int, grid: Grid, ratio: float
) -> tuple[Int[Array, "b k"], Int[Array, "b m"]]:
    """Hide random tokens, independent of their place and time; arguments and result as `tube_mask`."""
    t, h, w = grid
    return _split(rng, batch, t * h * w, num_masked(grid, ratio, "random"))


def frame_mask(
    rng: Key[Array, ""], batch: int, grid: Grid, ratio: float
) -> tuple[Int[Array, "b k"], Int[Array, "b m"]]:
    """Hide whole random time slices; arguments and result as `tube_mask`."""
    t, h, w = grid
    visible, masked = _split(rng, batch, t, num_masked(grid, ratio, "frame") // (h * w))
    places = jnp.arange(h * w, dtype=jnp.int32)
    return tuple((slices[:, :, None] * (h * w) + places).reshape(batch, -1) for slices in (visible, masked))


def _split(rng: Key[Array, ""], batch: int, units: int, hidden: int):
    """Two ascending index lists per row: a random choice of `units - hidden`, and the rest."""
    order = jnp.argsort(jax.random.uniform(rng, (batch, units)), axis=1).astype(jnp.int32)
    keep = units - hidden
    return jnp.sort(order[:, :keep], axis=1), jnp.sort(order[:, keep:], axis=1)
