"""Fit clips of any size to a model: resize them until they cover its frames, then crop the centre.

On the host, `eval_crops` resizes as in evaluation. Under a JAX transformation, frames are multiplied by the same resize
weights; the two agree up to the rounding to uint8.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Num

from vidjax.data.clips.augment import eval_crops, eval_places
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.clips.resize import resize_weights
from vidjax.errors import ConfigError


def check_clips(clips: Any, num_frames: int) -> None:
    """Reject an array, traced or not, that is not a clip or a batch of clips of the model's length.

    Raises:
      ConfigError: for another shape or dtype; the message says which arrays a model takes.
    """
    takes = "uint8 or floats in [0, 1], (t h w 3) or (b t h w 3)"
    shape = tuple(getattr(clips, "shape", ()))
    if len(shape) not in (4, 5) or shape[-1] != 3:
        raise ConfigError(f"an array of shape {shape} is not a clip; a model takes {takes}")
    if clips.dtype != jnp.uint8 and not jnp.issubdtype(clips.dtype, jnp.floating):
        raise ConfigError(f"clips of {clips.dtype} have no known range; a model takes {takes}")
    if 0 in shape:
        raise ConfigError(f"clips of shape {shape} are empty")
    if shape[-4] != num_frames:
        raise ConfigError(
            f"the clips have {shape[-4]} frames, but the model takes {num_frames}; sample {num_frames} frames, or load "
            f"the model with from_pretrained(..., num_frames={shape[-4]})"
        )


def check_range(clips: np.ndarray) -> None:
    """Reject floats outside of [0, 1], such as pixels up to 255 or normalised pixels.

    Raises:
      ConfigError: for such floats; the message gives their range.
    """
    if clips.dtype != np.uint8 and not (clips.min() >= 0 and clips.max() <= 1):
        raise ConfigError(
            f"float clips range from {clips.min():.3g} to {clips.max():.3g}; a model takes floats in [0, 1], which it "
            "normalises itself, or uint8 from 0 to 255"
        )


def fit_on_host(clips: Num[np.ndarray, "b t h w c"], recipe: ClipRecipe) -> Num[np.ndarray, "b t h2 w2 c"]:
    """Return the central crops of uint8 or float32 clips, still in RGB; `fit_traced` reorders the channels later."""
    recipe = dataclasses.replace(recipe.one_view(), channels="rgb")
    return np.stack([eval_crops(clip, recipe)[0] for clip in clips])


def fit_traced(clips: Num[Array, "b t h w c"], recipe: ClipRecipe) -> Num[Array, "b t h2 w2 c"]:
    """Return the central crops, with channels in the order of recipe.channels; for use under `jit`, `grad` or `vmap`.

    The result is differentiable for float clips.
    """
    size, [(top, left)] = eval_places(clips.shape[2:4], recipe.one_view())
    height, width = recipe.frame_size
    if recipe.channels == "bgr":
        clips = clips[..., ::-1]
    if size == clips.shape[2:4]:
        return clips[:, :, top : top + height, left : left + width]
    rows, columns = resize_weights(clips.shape[2:4], size, recipe.interpolation)
    rows, columns = rows[top : top + height], columns[left : left + width]
    pixels = clips.astype(jnp.float32)
    found = jnp.einsum("Hh,bthwc,Ww->btHWc", rows, pixels, columns, precision=jax.lax.Precision.HIGHEST)
    return jnp.floor(found + 0.5).clip(0, 255).astype(jnp.uint8) if clips.dtype == jnp.uint8 else found
