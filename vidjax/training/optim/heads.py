"""Learning rates and weight decays of heads that are trained side by side, stacked on axis 0 of every parameter."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from vidjax.models.param_paths import path_name
from vidjax.training.optim.weight_decay import DECAYED


def scale_each_head(factors: Sequence[float]) -> optax.GradientTransformation:
    """Multiply the update of each head by its factor."""
    return optax.stateless(lambda updates, params: jax.tree.map(lambda u: u * _along_heads(factors, u.ndim), updates))


def decay_each_head(decays: Sequence[float], decayed: str) -> optax.GradientTransformation:
    """Add each head's weight decay times its parameters to the updates.

    Args:
      decayed: a key of `DECAYED`; the axes of heads and stacked blocks do not count towards a parameter's rank.
    """

    def add(path, update, param):
        name = path_name(path)
        rank = param.ndim - 1 - ("blocks" in name.split("/"))
        return update + _along_heads(decays, param.ndim) * param if DECAYED[decayed](name, rank) else update

    return optax.stateless(lambda updates, params: jax.tree_util.tree_map_with_path(add, updates, params))


def _along_heads(values: Sequence[float], ndim: int) -> Array:
    return jnp.asarray(values, jnp.float32).reshape(-1, *[1] * (ndim - 1))
