"""Freeze parameters for a whole run, or for its first steps.

Parameters whose path matches `objective.frozen` never change. That takes two functions: `hold` computes no gradients
for them, so that the gradient norm for clipping excludes them; `freeze` keeps no moments for them and applies no weight
decay.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vidjax.models.param_paths import matches, path_name
from vidjax.training.optim.layer_decay import ENCODER_BLOCKS

LAST_LAYER = r"(^|/)head/last_layer/"  # the last layer of a projection head


def hold(params: Any, pattern: str) -> Any:
    """Return the same parameters, without gradients for those whose path matches; an empty pattern matches none."""
    if not pattern:
        return params
    return jax.tree.map(
        lambda leaf, frozen: jax.lax.stop_gradient(leaf) if frozen else leaf, params, matches(params, pattern)
    )


def freeze(rule: optax.GradientTransformation, pattern: str) -> optax.GradientTransformationExtraArgs:
    """Apply `rule` except to parameters whose path matches, which never change; an empty pattern freezes none."""
    rule = optax.with_extra_args_support(rule)
    if not pattern:
        return rule

    def labels(params):
        return jax.tree.map(lambda frozen: "frozen" if frozen else "trained", matches(params, pattern))

    return optax.partition({"frozen": optax.set_to_zero(), "trained": rule}, labels)


def spare_last_blocks(number: int) -> optax.GradientTransformation:
    """Keep the encoder's last `number` blocks unchanged: they get no gradient, but weight decay would shrink them."""

    def spare(path, update):
        if not ENCODER_BLOCKS.search(path_name(path)):
            return update
        moves = np.arange(len(update)) < len(update) - number
        return jnp.where(moves.reshape(-1, *[1] * (update.ndim - 1)), update, 0.0)

    return optax.stateless(lambda updates, params: jax.tree_util.tree_map_with_path(spare, updates))


def start_late(rule: optax.GradientTransformation, pattern: str, steps: int) -> optax.GradientTransformationExtraArgs:
    """Keep parameters whose path matches, and their optimiser state, unchanged for the first `steps` steps.

    PyTorch's optimisers treat parameters without a gradient this way: neither their moments nor the step count change,
    and weight decay does not apply.
    """
    rule = optax.with_extra_args_support(rule)

    def update(updates, state, params=None, **extra):
        moved, moved_state = rule.update(updates, state, params, **extra)
        awake = extra["step"] >= steps
        moved = jax.tree.map(lambda u: jnp.where(awake, u, jnp.zeros_like(u)), moved)
        return moved, jax.tree.map(lambda new, old: jnp.where(awake, new, old), moved_state, state)

    def labels(params):
        return jax.tree.map(lambda found: "late" if found else "early", matches(params, pattern))

    late = optax.GradientTransformationExtraArgs(rule.init, update)
    return optax.partition({"late": late, "early": rule}, labels)
