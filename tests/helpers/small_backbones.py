"""Backbones of every family that compile in seconds, with weights that are neither small nor zero."""

import jax
import numpy as np

from vidjax.data.clips.recipe import ClipRecipe
from vidjax.models import build_model
from vidjax.weights import Pretrained

CLIPS = {"num_frames": 4, "image_size": 16}


def backbone(name, num_classes=0, **options):
    """A model with no parameter small or zero; with num_classes=None, the pre-training module."""
    module = build_model(name, num_classes=num_classes, depth=2, **CLIPS, **options)
    inputs = [np.zeros((1, *module.spec.clip_shape))]
    if num_classes is None:
        inputs += [np.zeros((1, 1), int), np.zeros((1, 1), int)]
    shapes, rng = jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"], np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape, scale=0.1).astype(np.float32), shapes)
    recipe = ClipRecipe(stride=4, interpolation="area", mean=(0.4,) * 3, std=(0.3,) * 3, **CLIPS)
    return Pretrained(module, params, module.spec, name.split("_")[0], recipe, source=name)
