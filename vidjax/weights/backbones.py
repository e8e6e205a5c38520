"""Backbones for frozen features, by name: any source of `from_pretrained`, or `random:PRESET` as a baseline."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from vidjax.config import IMAGENET_MEAN, IMAGENET_STD
from vidjax.errors import WeightsError
from vidjax.models import ClipSpec, build_model, family_of
from vidjax.weights.clip_recipes import published_recipe
from vidjax.weights.model import Pretrained
from vidjax.weights.pretrained import from_pretrained

RANDOM = "random:"
_SEED = 0


def load_backbone(source: str, *, num_frames: int | None = None, image_size: int | None = None) -> Pretrained:
    """Load a model that computes features of clips.

    Args:
      source: a source of `from_pretrained`, or "random:" and the name of a preset. The latter is the family's
        classifier without a head, with the same random weights every time.
      num_frames, image_size: clip size; None for that of the source or the preset.

    Raises:
      WeightsError: if the source is not a model, or its model takes no clips.
      ConfigError: for an unknown preset, or clips that the model cannot take.
    """
    sizes = {"num_frames": num_frames, "image_size": image_size}
    if source.startswith(RANDOM):
        return _random(source, **{name: value for name, value in sizes.items() if value is not None})
    model = from_pretrained(source, **sizes)
    if not isinstance(model.spec, ClipSpec):
        raise WeightsError(
            f"{source} holds a {model.family}, not a backbone that takes clips; give the run or the file that its "
            "encoder was initialised from"
        )
    return model


def _random(source: str, **sizes: int) -> Pretrained:
    name = source.removeprefix(RANDOM)
    module = build_model(name, num_classes=0, **sizes)
    params = jax.jit(module.init)(jax.random.key(_SEED), jnp.zeros((1, *module.spec.clip_shape)))["params"]
    family = family_of(name)[0]
    recipe = published_recipe(family, module.spec, 0, pixels=(IMAGENET_MEAN, IMAGENET_STD))
    return Pretrained(module, params, module.spec, family, recipe, source=source)
