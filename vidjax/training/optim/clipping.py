"""Gradient clipping by the norm of each parameter, which optax lacks."""

from __future__ import annotations

import collections
import re

import jax
import jax.numpy as jnp
import optax

from vidjax.models.param_paths import path_name

_PARTS_OF_BIAS = re.compile(r"[qkv]_bias$")
_CLIP_EPS = 1e-6  # as in DINO's clip_gradients


def clip_each(max_norm: float) -> optax.GradientTransformation:
    """Scale the gradient of each parameter down to a norm of at most `max_norm`.

    Parameters are counted as in PyTorch: each layer of the stacked blocks separately, and the biases of q, k and v as
    one. Source: `clip_gradients` of DINO.
    """

    def clip(grads, params):
        del params
        squares: dict[str, jax.Array | float] = collections.defaultdict(float)
        for path, leaf in jax.tree_util.tree_flatten_with_path(grads)[0]:
            squares[_parameter(path)] += jnp.sum(jnp.square(leaf), axis=_own_axes(path, leaf))

        def scale(path, leaf):
            factor = max_norm / (jnp.sqrt(squares[_parameter(path)]) + _CLIP_EPS)
            return leaf * jnp.minimum(factor, 1.0).reshape(*factor.shape, *[1] * (leaf.ndim - factor.ndim))

        return jax.tree_util.tree_map_with_path(scale, grads)

    return optax.stateless(clip)


def _parameter(path) -> str:
    return _PARTS_OF_BIAS.sub("bias", path_name(path))


def _own_axes(path, leaf) -> tuple[int, ...]:
    """All axes except the one over which blocks are stacked."""
    return tuple(range("blocks" in path_name(path).split("/"), leaf.ndim))
