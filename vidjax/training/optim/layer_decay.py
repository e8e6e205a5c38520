"""Layer-wise learning-rate decay: deeper layers learn faster, as in VideoMAE's fine-tuning recipe."""

from __future__ import annotations

import re

import jax
import numpy as np
import optax

from vidjax.errors import ConfigError
from vidjax.models.param_paths import path_name

_FIRST_LAYER = re.compile(r"(^|/)encoder/(patch_embed|pos_embed|time_embed|cls_token)(/|$)")
ENCODER_BLOCKS = re.compile(r"(^|/)encoder/blocks/")


def scale_by_layer(layer_decay: float, *, some_frozen: bool = False) -> optax.GradientTransformation:
    """Multiply the update of each layer by its factor from `layer_scales`.

    Args:
      some_frozen: whether trained parameters may lack encoder blocks, as a head alone does; if they do, factors are 1.
    """
    if layer_decay == 1.0:
        return optax.identity()

    def scale(updates, params):
        del params
        layered = any(ENCODER_BLOCKS.search(path_name(path)) for path, _ in jax.tree.leaves_with_path(updates))
        if some_frozen and not layered:
            return updates
        return jax.tree.map(lambda u, s: u * s, updates, layer_scales(updates, layer_decay))

    return optax.stateless(scale)


def layer_scales(params, layer_decay: float):
    """Learning-rate factors `layer_decay ** (L + 1 - id)`, one array per leaf that broadcasts against it.

    Patch and position embeddings and class tokens have id 0, encoder block i has id i + 1 (an array over the stacked
    axis 0), and everything else has id L + 1.

    Raises:
      ConfigError: when the parameters have no stacked encoder blocks.
    """
    named = [(path_name(path), leaf) for path, leaf in jax.tree.leaves_with_path(params)]
    depth = next((leaf.shape[0] for name, leaf in named if ENCODER_BLOCKS.search(name)), None)
    if depth is None:
        raise ConfigError(f"optim.layer_decay={layer_decay} needs a model with encoder/blocks; use 1.0")

    def scale(path, leaf) -> np.ndarray | np.float32:
        name = path_name(path)
        if ENCODER_BLOCKS.search(name):
            factors = layer_decay ** (depth - np.arange(depth, dtype=np.float64))
            return factors.astype(np.float32).reshape(depth, *[1] * (leaf.ndim - 1))
        return np.float32(layer_decay ** (depth + 1) if _FIRST_LAYER.search(name) else 1.0)

    return jax.tree_util.tree_map_with_path(scale, params)
