"""Weight decay: which parameters decay, and how the decay changes over a run."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

import jax
import optax

from vidjax.config import OptimConfig
from vidjax.models.param_paths import path_name
from vidjax.training.optim.learning_rate import cosine_schedule

_TOKEN = re.compile(r"(token|pos_embed|time_embed)$")
_UNDECAYED = re.compile(rf"bias$|{_TOKEN.pattern}")


def decay_weights(config: OptimConfig, total_steps: int) -> optax.GradientTransformation:
    """The weight decay of a run: constant, or along a cosine to `final_weight_decay` if that is set."""
    mask = functools.partial(decay_mask, decayed=config.decayed)
    if config.final_weight_decay:
        over_time = cosine_schedule(config.weight_decay, config.final_weight_decay, 0, total_steps)
        return add_scheduled_decay(over_time, mask)
    return optax.add_decayed_weights(config.weight_decay, mask=mask) if config.weight_decay else optax.identity()


def decay_mask(params, decayed: str = "kernels"):
    """Mark the parameters to which weight decay applies.

    Args:
      params: the parameters; the axis over which blocks are stacked does not count, so a norm's scale (layers, d) is
        1-D.
      decayed: "kernels" excludes biases, tokens, positions and 1-D parameters. "matrices" excludes biases and 1-D
        parameters, but not tokens and positions, which have more than one dimension in PyTorch. "all" excludes nothing.
    """

    def decays(path, leaf) -> bool:
        name = path_name(path)
        return DECAYED[decayed](name, leaf.ndim - ("blocks" in name.split("/")))

    return jax.tree_util.tree_map_with_path(decays, params)


def _kernels(name: str, rank: int) -> bool:
    return rank > 1 and not _UNDECAYED.search(name)


def _matrices(name: str, rank: int) -> bool:
    return bool(_TOKEN.search(name)) or _kernels(name, rank)


# The choices of optim.decayed: whether a parameter of this name and rank decays.
DECAYED = {"kernels": _kernels, "matrices": _matrices, "all": lambda name, rank: True}


def add_scheduled_decay(schedule: Callable, mask: Callable) -> optax.GradientTransformationExtraArgs:
    """Add `schedule(step)` times the parameters to the updates, where `mask(parameters)` is true."""

    def update(updates, state, params=None, **extra):
        decay = schedule(extra["step"])
        added = jax.tree.map(lambda u, p, decays: u + decay * p if decays else u, updates, params, mask(params))
        return added, state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
