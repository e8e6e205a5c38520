"""Build the optimiser of a run from its update rule, schedules, clipping, weight decay and freezing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import optax

from vidjax.config import OptimConfig
from vidjax.objectives.base import HeadSettings
from vidjax.training.optim.clipping import clip_each
from vidjax.training.optim.freezing import LAST_LAYER, spare_last_blocks, start_late
from vidjax.training.optim.heads import decay_each_head, scale_each_head
from vidjax.training.optim.layer_decay import scale_by_layer
from vidjax.training.optim.learning_rate import SCHEDULES, RunLength, Schedule, scaled_lr
from vidjax.training.optim.weight_decay import decay_weights


class GroupClip(NamedTuple):
    """Clipping of the gradient of each group of rows, before these gradients are averaged.

    Attributes:
      rows: rows per group; 0 for no groups.
      norm: maximum norm of a group's gradient.
    """

    rows: int = 0
    norm: float = 0.0


class Optimizer(NamedTuple):
    """The rule by which a run's parameters are updated.

    Attributes:
      tx: computes the direction of the update from the gradients of the trained parameters.
      schedule: the learning rate of a step, by which the direction is multiplied.
      group_clip: clipping per group of rows, before gradients are averaged and passed to `tx`.
      skip_spikes: steps whose loss or gradient norm is more than this many standard deviations above its recent mean
        are skipped; 0 to skip none.
    """

    tx: optax.GradientTransformation
    schedule: Schedule
    group_clip: GroupClip = GroupClip()
    skip_spikes: float = 0.0


def build_optimizer(
    config: OptimConfig,
    run: RunLength,
    *,
    global_batch: int,
    frozen: str = "",
    unused_blocks: int = 0,
    heads: Sequence[HeadSettings] = (),
) -> Optimizer:
    """Build the optimiser of a run.

    The step computes `params - schedule(step) * direction`: the learning rate depends on the step of the run, not on a
    counter in the optimiser state, which does not advance when a step is skipped. For the same reason the update takes
    `step=` when the weight decay has a schedule or the last layer of a projection head is frozen at first.

    Args:
      run: length of the run, for the schedules.
      global_batch: videos per step, by which the learning rate is scaled.
      frozen: pattern of the parameters that are never updated, and that `tx` never sees; empty for none.
      unused_blocks: number of the encoder's last blocks on which the loss does not depend; they are not updated either.
      heads: settings of heads trained side by side. Their learning rates replace base_lr but follow its schedule; their
        weight decays replace weight_decay.
    """
    peak, floor = scaled_lr(config, global_batch)
    decays = [head.weight_decay for head in heads]
    decay = decay_each_head(decays, config.decayed) if heads else decay_weights(config, run.total)
    rule = OPTIMIZERS[config.name](config, decay)
    if run.last_layer_frozen:
        rule = start_late(rule, LAST_LAYER, run.last_layer_frozen)
    groups = GroupClip(config.clip_group, config.clip_norm) if config.clip_group else GroupClip()
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm and not groups.rows else optax.identity()
    if config.clip_each:
        clip = optax.chain(clip, clip_each(config.clip_each))
    direction = optax.chain(clip, rule, scale_by_layer(config.layer_decay, some_frozen=bool(frozen)))
    if unused_blocks:
        direction = optax.chain(direction, spare_last_blocks(unused_blocks))
    if heads:
        direction = optax.chain(direction, scale_each_head([head.learning_rate / config.base_lr for head in heads]))
    schedule = SCHEDULES[config.schedule](config, peak, floor, run)
    return Optimizer(direction, schedule, groups, config.skip_spikes)


def _adamw(config: OptimConfig, decay: optax.GradientTransformation) -> optax.GradientTransformation:
    return optax.chain(optax.scale_by_adam(b1=config.beta1, b2=config.beta2, eps=config.eps), decay)


def _sgd(config: OptimConfig, decay: optax.GradientTransformation) -> optax.GradientTransformation:
    return optax.chain(decay, optax.trace(decay=config.momentum, nesterov=config.nesterov))


# The choices of optim.name. Each function returns the update direction, with the given weight decay in it.
OPTIMIZERS = {"adamw": _adamw, "sgd": _sgd}
