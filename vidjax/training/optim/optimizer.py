"""The optimiser of a run, put together from its rule, its schedules, and what is clipped, decayed or frozen."""

from __future__ import annotations

import re
from typing import NamedTuple

import optax

from vidjax.config import OptimConfig
from vidjax.training.optim.clipping import clip_each
from vidjax.training.optim.freezing import LAST_LAYER, freeze, spare_last_blocks, start_late
from vidjax.training.optim.layer_decay import scale_by_layer
from vidjax.training.optim.learning_rate import SCHEDULES, RunLength, Schedule, scaled_lr
from vidjax.training.optim.weight_decay import decay_weights


class GroupClip(NamedTuple):
    """Clipping of the gradient of so many rows, before such gradients are averaged.

    Attributes:
      rows: of a group; 0 for none.
      norm: at most, of a group's gradient.
    """

    rows: int = 0
    norm: float = 0.0


class Optimizer(NamedTuple):
    """How parameters move.

    Attributes:
      tx: gives the direction of the update.
      schedule: the learning rate of a step, to multiply the direction with.
      group_clip: of gradients before they are averaged, and come to `tx`.
      skip_spikes: deviations above the mean of recent steps from which on a step is skipped; 0 for never.
    """

    tx: optax.GradientTransformation
    schedule: Schedule
    group_clip: GroupClip = GroupClip()
    skip_spikes: float = 0.0


def build_optimizer(
    config: OptimConfig, run: RunLength, *, global_batch: int, frozen: str = "", unused_blocks: int = 0
) -> Optimizer:
    """Build the optimiser of a run.

    Args:
      global_batch: videos per step, by which the learning rate is scaled.
      frozen: pattern of the parameters that never move; empty for none.
      unused_blocks: the encoder's last blocks, which do not move either.

    The step computes `params - schedule(step) * direction`: the learning rate belongs to the step of the run, not to
    a counter in the optimiser state, which stands still when a step is skipped. For the same reason the update takes
    `step=` when the weight decay has a schedule or when the last layer of a projection head is frozen at first.
    """
    peak, floor = scaled_lr(config, global_batch)
    rule = OPTIMIZERS[config.name](config, decay_weights(config, run.total))
    if run.last_layer_frozen:
        rule = start_late(rule, LAST_LAYER, run.last_layer_frozen)
    groups = GroupClip(config.clip_group, config.clip_norm) if config.clip_group else GroupClip()
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm and not groups.rows else optax.identity()
    if config.clip_each:
        clip = optax.chain(clip, clip_each(config.clip_each))
    trains_encoder = not (frozen and re.search(frozen, "encoder/blocks/"))  # else no layers are left to tell apart
    direction = optax.chain(clip, rule, scale_by_layer(config.layer_decay if trains_encoder else 1.0))
    if unused_blocks:
        direction = optax.chain(direction, spare_last_blocks(unused_blocks))
    schedule = SCHEDULES[config.schedule](config, peak, floor, run)
    return Optimizer(freeze(direction, frozen), schedule, groups, config.skip_spikes)


def _adamw(config: OptimConfig, decay: optax.GradientTransformation) -> optax.GradientTransformation:
    return optax.chain(optax.scale_by_adam(b1=config.beta1, b2=config.beta2, eps=config.eps), decay)


def _sgd(config: OptimConfig, decay: optax.GradientTransformation) -> optax.GradientTransformation:
    return optax.chain(decay, optax.trace(decay=config.momentum, nesterov=config.nesterov))


# The choices of optim.name: the update direction, in which the given weight decay has its place.
OPTIMIZERS = {"adamw": _adamw, "sgd": _sgd}
