"""Pixels from the loader's uint8 to what modules take."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Num, UInt8


def normalize(
    pixels: Num[Array, "*dims c"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[Array, "*dims c"]:
    """(pixels - mean) / std in float32, per channel; integers are divided by 255 before, floats are in [0, 1]."""
    unit = pixels.astype(jnp.float32)
    if not jnp.issubdtype(pixels.dtype, jnp.floating):
        unit = unit / 255
    return (unit - jnp.asarray(mean, jnp.float32)) / jnp.asarray(std, jnp.float32)


def fit_frames(clips: UInt8[Array, "b t h w c"], spec) -> UInt8[Array, "b n h w c"]:
    """Leave out the last frames of clips, or repeat the last one, until whole cubes of the model are filled.

    Clips that differ from the model's by a cube or more are left as they are, for the module to refuse.
    """
    missing = spec.num_frames - clips.shape[1]
    if 0 < missing < spec.tubelet_size:
        return jnp.concatenate([clips, *[clips[:, -1:]] * missing], axis=1)
    return clips[:, : spec.num_frames] if -spec.tubelet_size < missing < 0 else clips


def normalize_flat(
    patches: Num[Array, "b n p"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[Array, "b n p"]:
    """The same for patches whose channel is the fastest part of the last axis."""
    return normalize(patches.reshape(*patches.shape[:-1], -1, len(mean)), mean, std).reshape(patches.shape)
