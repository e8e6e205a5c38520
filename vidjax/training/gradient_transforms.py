"""Gradient transformations that optax lacks: a clip for each parameter, a decay with a schedule, a late start.

The second and third take the run's `step` as an extra argument of the update.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from vidjax.models.param_paths import matches, path_name

_PARTS_OF_BIAS = re.compile(r"[qkv]_bias$")
_CLIP_EPS = 1e-6  # as in DINO's clip_gradients


def clip_each(max_norm: float) -> optax.GradientTransformation:
    """Scale the gradient of each parameter down to a norm of `max_norm`.

    A parameter is what it is in PyTorch: one layer of the stacked blocks, and the biases of q, k and v together.
    Source: `clip_gradients` of DINO.
    """

    def clip(grads, params):
        del params
        squares: dict[str, jax.Array] = collections.defaultdict(float)
        for path, leaf in jax.tree_util.tree_flatten_with_path(grads)[0]:
            squares[_parameter(path)] += jnp.sum(jnp.square(leaf), axis=_own_axes(path, leaf))

        def scale(path, leaf):
            factor = max_norm / (jnp.sqrt(squares[_parameter(path)]) + _CLIP_EPS)
            return leaf * jnp.minimum(factor, 1.0).reshape(*factor.shape, *[1] * (leaf.ndim - factor.ndim))

        return jax.tree_util.tree_map_with_path(scale, grads)

    return optax.stateless(clip)


def add_scheduled_decay(schedule: Callable, mask: Callable) -> optax.GradientTransformationExtraArgs:
    """Add `schedule(step)` times the parameters where `mask(parameters)` is true."""

    def update(updates, state, params, *, step, **_):
        decay = schedule(step)
        added = jax.tree.map(lambda u, p, decays: u + decay * p if decays else u, updates, params, mask(params))
        return added, state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


def start_late(rule: optax.GradientTransformation, pattern: str, steps: int) -> optax.GradientTransformationExtraArgs:
    """Keep parameters whose path matches as they are for some steps, and what `rule` knows of them too.

    This is what PyTorch's optimisers do for parameters without a gradient: neither moments, nor their count, nor
    weight decay move.
    """
    rule = optax.with_extra_args_support(rule)

    def update(updates, state, params=None, *, step, **extra):
        moved, moved_state = rule.update(updates, state, params, step=step, **extra)
        awake = step >= steps
        moved = jax.tree.map(lambda u: jnp.where(awake, u, jnp.zeros_like(u)), moved)
        return moved, jax.tree.map(lambda new, old: jnp.where(awake, new, old), moved_state, state)

    def labels(params):
        return jax.tree.map(lambda found: "late" if found else "early", matches(params, pattern))

    late = optax.GradientTransformationExtraArgs(rule.init, update)
    return optax.partition({"late": late, "early": rule}, labels)


def _parameter(path) -> str:
    return _PARTS_OF_BIAS.sub("bias", path_name(path))


def _own_axes(path, leaf) -> tuple[int, ...]:
    """All but the axis over which blocks are stacked."""
    return tuple(range("blocks" in path_name(path).split("/"), leaf.ndim))
