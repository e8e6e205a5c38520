"""Random erasing, mixup and cutmix on the device, on normalised clips and with static shapes.

Sources: random erasing, Zhong et al. 2017; mixup, Zhang et al. 2017; cutmix, Yun et al. 2019. Draws follow timm.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

ERASE_AREA = (0.02, 1 / 3)  # share of the frame
ERASE_ASPECT = 0.3  # aspect ratios are log-uniform from this to its inverse
ERASE_ATTEMPTS = 100  # as in VideoMAE's random_erasing.py:129, for clips; timm makes ten attempts, for images


def random_erase(
    keys: Key[Array, " b"], clips: Float[Array, "b t h w c"], probability: float
) -> Float[Array, "b t h w c"]:
    """Fill one rectangle of each clip, at the same place in all frames, with standard normal noise.

    Args:
      keys: one per clip.
      clips: normalised pixels.
      probability: probability that a clip gets a rectangle.
    """

    def of_clip(key, clip):
        box, noise = jax.random.split(key)
        erased = erase_box(box, *clip.shape[1:3], probability)[None, :, :, None]
        return jnp.where(erased, jax.random.normal(noise, clip.shape, clip.dtype), clip)

    return jax.vmap(of_clip)(keys, clips)


def erase_box(rng: Key[Array, ""], height: int, width: int, probability: float) -> Bool[Array, "h w"]:
    """Return a mask that, with `probability`, is True inside a random rectangle; otherwise it is all False.

    Area and aspect are redrawn until the rectangle is smaller than the frame, at most a hundred times.
    """
    coin, area, aspect, top, left = jax.random.split(rng, 5)
    draws = (ERASE_ATTEMPTS,)
    areas = jax.random.uniform(area, draws, minval=ERASE_AREA[0], maxval=ERASE_AREA[1]) * height * width
    log_aspect = jnp.log(ERASE_ASPECT)
    aspects = jnp.exp(jax.random.uniform(aspect, draws, minval=log_aspect, maxval=-log_aspect))
    heights, widths = jnp.round(jnp.sqrt(areas * aspects)), jnp.round(jnp.sqrt(areas / aspects))
    fits = (heights < height) & (widths < width)
    first = jnp.argmax(fits)
    h, w = heights[first], widths[first]
    y = jnp.floor(jax.random.uniform(top) * (height - h + 1))
    x = jnp.floor(jax.random.uniform(left) * (width - w + 1))
    chosen = (jax.random.uniform(coin) < probability) & fits.any()
    rows, columns = jnp.arange(height), jnp.arange(width)
    inside_y = (rows >= y) & (rows < y + h)
    inside_x = (columns >= x) & (columns < x + w)
    return chosen & inside_y[:, None] & inside_x[None, :]


@dataclasses.dataclass(frozen=True)
class Mixing:
    """The frequency and strength of mixup and cutmix within a group of clips.

    Attributes:
      mixup, cutmix: alpha of the Beta distribution that each draws from; 0 turns it off.
      prob: probability that a group is mixed.
      switch_prob: probability that a mixed group uses cutmix, if both are on.
      group: number of rows that share a draw and are mixed with each other; 0 for all rows of a step.
    """

    mixup: float = 0.0
    cutmix: float = 0.0
    prob: float = 1.0
    switch_prob: float = 0.5
    group: int = 0

    def __bool__(self) -> bool:
        return self.mixup > 0 or self.cutmix > 0


NO_MIXING = Mixing()


def mix_weights(rng: Key[Array, ""], height: int, width: int, mixing: Mixing) -> Float[Array, "h w"]:
    """Draw the weights of a clip's own pixels in a mixture; all rows of a group share these weights.

    Returns:
      the same value everywhere (mixup), 0 inside a rectangle and 1 outside (cutmix), or 1 everywhere (no mixing).
    """
    coin, switch, lam_mixup, lam_cutmix, centre = jax.random.split(rng, 5)
    weights = jnp.ones((height, width))
    if mixing.mixup > 0:
        weights = jnp.full((height, width), jax.random.beta(lam_mixup, mixing.mixup, mixing.mixup))
    if mixing.cutmix > 0:
        cut = cutmix_weights(centre, jax.random.beta(lam_cutmix, mixing.cutmix, mixing.cutmix), height, width)
        weights = jnp.where(jax.random.uniform(switch) < mixing.switch_prob, cut, weights) if mixing.mixup > 0 else cut
    return jnp.where(jax.random.uniform(coin) < mixing.prob, weights, 1.0)


def cutmix_weights(rng: Key[Array, ""], lam: Float[Array, ""], height: int, width: int) -> Float[Array, "h w"]:
    """Return 0 inside a rectangle of area 1 - lam around a uniform centre, clipped at the borders, and 1 outside."""
    sides = jnp.array([height, width])
    halves = (sides * jnp.sqrt(1 - lam)).astype(jnp.int32) // 2
    centre = jax.random.randint(rng, (2,), 0, sides)
    low, high = centre - halves, centre + halves
    y, x = jnp.arange(height)[:, None], jnp.arange(width)
    inside = (y >= low[0]) & (y < high[0]) & (x >= low[1]) & (x < high[1])
    return jnp.where(inside, 0.0, 1.0)


def mix(
    clips: Float[Array, "b t h w c"], targets: Float[Array, "b classes"], weights: Float[Array, "g h w"]
) -> tuple[Float[Array, "b t h w c"], Float[Array, "b classes"]]:
    """Mix rows within each of g groups of consecutive rows: the first with the last, and so on inwards.

    Targets are mixed in proportion to the pixels that come from each row.
    """

    def mixed(rows, kept):
        grouped = rows.reshape(len(weights), -1, *rows.shape[1:])
        return (grouped * kept + grouped[:, ::-1] * (1 - kept)).reshape(rows.shape)

    shares = weights.mean(axis=(1, 2), dtype=jnp.float32)
    return mixed(clips, weights.astype(clips.dtype)[:, None, None, :, :, None]), mixed(targets, shares[:, None, None])
