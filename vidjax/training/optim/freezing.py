"""Freeze parameters for a whole run, or for its first steps.

Parameters whose path matches `objective.frozen` are held: the step passes them on unchanged. There are no gradients,
moments or weight decay for them, and the gradient norm excludes them.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vidjax.models import lora
from vidjax.models.param_paths import join, matches, path_name
from vidjax.objectives import Objective
from vidjax.training.optim.layer_decay import ENCODER_BLOCKS

LAST_LAYER = r"(^|/)head/last_layer/"  # the last layer of a projection head


def form(objective: Objective, trained: Any, held: Any) -> Any:
    """Join the trained and held halves of the parameters for the objective's module; LoRA's updates are merged."""
    params = join(trained, held)
    return lora.merge(params, objective.lora.alpha) if objective.lora else params


def spare_last_blocks(number: int) -> optax.GradientTransformation:
    """Keep the encoder's last `number` blocks unchanged: they get no gradient, but weight decay would shrink them."""

    def spare(path, update):
        if not ENCODER_BLOCKS.search(path_name(path)):
            return update
        moves = np.arange(len(update)) < len(update) - number
        return jnp.where(moves.reshape(-1, *[1] * (update.ndim - 1)), update, 0.0)

    return optax.stateless(lambda updates, params: jax.tree_util.tree_map_with_path(spare, updates))


def start_late(rule: optax.GradientTransformation, pattern: str, steps: int) -> optax.GradientTransformationExtraArgs:
    """Keep parameters whose path matches `pattern`, and their optimiser state, unchanged for the first `steps` steps.

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
