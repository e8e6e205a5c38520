"""Turn the loader's uint8 pixels into inputs of a module."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Num, UInt8


def normalize(
    pixels: Num[Array, "*dims c"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[Array, "*dims c"]:
    """Compute (pixels - mean) / std per channel in float32, after dividing integers by 255; floats are in [0, 1]."""
    unit = pixels.astype(jnp.float32)
    if not jnp.issubdtype(pixels.dtype, jnp.floating):
        unit = unit / 255
    return (unit - jnp.asarray(mean, jnp.float32)) / jnp.asarray(std, jnp.float32)


def fit_frames(clips: UInt8[Array, "b t h w c"], spec) -> UInt8[Array, "b n h w c"]:
    """Drop the last frames of clips, or repeat the last one, so that they fill the model's cubes.

    Clips whose length differs from the model's by a cube or more are returned unchanged, and the module rejects them.
    """
    missing = spec.num_frames - clips.shape[1]
    if 0 < missing < spec.tubelet_size:
        return jnp.concatenate([clips, *[clips[:, -1:]] * missing], axis=1)
    return clips[:, : spec.num_frames] if -spec.tubelet_size < missing < 0 else clips


def normalize_flat(
    patches: Num[Array, "b n p"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[Array, "b n p"]:
    """Apply `normalize` to patches whose last axis is flattened with the channel fastest."""
    return normalize(patches.reshape(*patches.shape[:-1], -1, len(mean)), mean, std).reshape(patches.shape)
