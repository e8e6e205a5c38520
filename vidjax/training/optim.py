"""The optimiser: learning-rate rule, schedule, weight-decay mask and layer-wise decay.

The rules are those of VideoMAE's code (`cosine_scheduler`, layer-wise learning-rate decay of the fine-tuning recipe).
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from vidjax.config import OptimConfig
from vidjax.errors import ConfigError
from vidjax.models.param_paths import path_name
from vidjax.training.freezing import freeze
from vidjax.training.gradient_transforms import add_scheduled_decay, clip_each, start_late

_TOKEN = re.compile(r"(token|pos_embed|time_embed)$")
_UNDECAYED = re.compile(rf"bias$|{_TOKEN.pattern}")
_FIRST_LAYER = re.compile(r"(^|/)encoder/(patch_embed|pos_embed|time_embed|cls_token)(/|$)")
_ENCODER_BLOCKS = re.compile(r"(^|/)encoder/blocks/")
_LAST_LAYER = r"(^|/)head/last_layer/"

Schedule = Callable[[Int[Array, ""]], Float[Array, ""]]


def scaled_lr(config: OptimConfig, global_batch: int) -> tuple[float, float]:
    """The peak and the final learning rate: the configured ones times `global_batch / reference_batch`.

    `global_batch` counts videos: several clips of one decoded video do not raise the learning rate.
    """
    factor = global_batch / config.reference_batch
    return config.base_lr * factor, config.min_lr * factor


def cosine_schedule(peak: float, floor: float, warmup_steps: int, total_steps: int) -> Schedule:
    """Learning rate of step i: linear from 0 at step 0 to `peak` at the last warm-up step, then half a cosine.

    After warm-up it is `floor + (peak - floor) / 2 * (1 + cos(pi * i / n))` with i counted from 0 over the n steps
    that are left; the official code starts from 0 too (its `warmup_lr` is parsed and never used).
    """
    if warmup_steps > total_steps:
        raise ConfigError(
            f"a warm-up of {warmup_steps} steps is longer than the run of {total_steps}; "
            "lower optim.warmup_epochs or optim.warmup_steps, or train longer"
        )

    def cosine(step):
        progress = jnp.clip((step - warmup_steps) / max(total_steps - warmup_steps, 1), 0.0, 1.0)
        return floor + 0.5 * (peak - floor) * (1.0 + jnp.cos(math.pi * progress))

    return _warmed_up(cosine, peak, warmup_steps)


def step_schedule(
    peak: float, warmup_steps: int, step_epochs: Sequence[float], step_factors: Sequence[float], steps_per_epoch: float
) -> Schedule:
    """Learning rate of step i: linear warm-up as above, `peak`, and `peak * factor` from the start of each epoch given.

    Raises:
      ConfigError: as `check_steps`.
    """
    check_steps(step_epochs, step_factors)
    starts = jnp.asarray([math.ceil(epoch * steps_per_epoch) for epoch in step_epochs])
    factors = jnp.asarray([1.0, *step_factors], jnp.float32)

    def steps(step):
        return peak * factors[jnp.searchsorted(starts, step, side="right")]

    return _warmed_up(steps, peak, warmup_steps)


def check_steps(step_epochs: Sequence[float], step_factors: Sequence[float]) -> None:
    """Refuse learning rates in steps whose epochs and factors do not fit each other.

    Raises:
      ConfigError: when epochs and factors differ in number, or the epochs do not grow.
    """
    if len(step_epochs) != len(step_factors) or not step_epochs or list(step_epochs) != sorted(set(step_epochs)):
        raise ConfigError(
            f"optim.step_epochs={tuple(step_epochs)} must grow, and optim.step_factors={tuple(step_factors)} hold one "
            "factor for each, such as (11, 14) and (0.1, 0.01)"
        )


def _warmed_up(after: Schedule, peak: float, warmup_steps: int) -> Schedule:
    return lambda step: jnp.where(step < warmup_steps, peak * step / max(warmup_steps - 1, 1), after(step))


def build_optimizer(
    config: OptimConfig,
    *,
    global_batch: int,
    total_steps: int,
    warmup_steps: int,
    frozen_steps: int = 0,
    frozen: str = "",
    steps_per_epoch: float = 1.0,
) -> tuple[optax.GradientTransformation, Schedule]:
    """The update direction as an optax transformation, and the learning rate to multiply it with.

    Args:
      frozen: pattern of the parameters that never move, by gradients or decay; empty for none.
      steps_per_epoch: only a schedule in steps of epochs uses it.

    The step computes `params - schedule(step) * direction`: the learning rate belongs to the step of the run, not to
    a counter in the optimiser state, which stands still when a step is skipped. For the same reason the update takes
    `step=` when the weight decay has a schedule or when the last layer of a projection head is frozen at first.
    """
    peak, floor = scaled_lr(config, global_batch)
    decay = _decay(config, total_steps)
    rule = OPTIMIZERS[config.name](config, decay)
    if frozen_steps:
        rule = start_late(rule, _LAST_LAYER, frozen_steps)
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity()
    if config.clip_each:
        clip = optax.chain(clip, clip_each(config.clip_each))
    direction = optax.chain(clip, rule, _scale_by_layer(config.layer_decay))
    direction = freeze(direction, frozen)
    run = RunLength(total_steps, warmup_steps, steps_per_epoch)
    return direction, SCHEDULES[config.schedule](config, peak, floor, run)


def _adamw(config: OptimConfig, decay: optax.GradientTransformation) -> optax.GradientTransformation:
    return optax.chain(optax.scale_by_adam(b1=config.beta1, b2=config.beta2, eps=config.eps), decay)


def _sgd(config: OptimConfig, decay: optax.GradientTransformation) -> optax.GradientTransformation:
    return optax.chain(decay, optax.trace(decay=config.momentum, nesterov=config.nesterov))


@dataclasses.dataclass(frozen=True)
class RunLength:
    """How many steps a run has, how many of them are warm-up, and how many make an epoch."""

    total: int
    warmup: int
    per_epoch: float


def _cosine(config: OptimConfig, peak: float, floor: float, run: RunLength) -> Schedule:
    del config
    return cosine_schedule(peak, floor, run.warmup, run.total)


def _steps(config: OptimConfig, peak: float, floor: float, run: RunLength) -> Schedule:
    del floor
    return step_schedule(peak, run.warmup, config.step_epochs, config.step_factors, run.per_epoch)


# The choices of optim.name: the update direction, in which the given weight decay has its place.
OPTIMIZERS = {"adamw": _adamw, "sgd": _sgd}
# The choices of optim.schedule: the learning rate at each step.
SCHEDULES = {"cosine": _cosine, "steps": _steps}


def warmup_steps(config: OptimConfig, steps_per_epoch: float) -> int:
    """Steps of linear warm-up; `warmup_steps` wins over `warmup_epochs`."""
    return config.warmup_steps or round(config.warmup_epochs * steps_per_epoch)


def decay_mask(params, decayed: str = "kernels"):
    """True where weight decay applies.

    Args:
      params: the axis over which blocks are stacked does not count: a norm's scale (layers, d) is 1-D.
      decayed: "kernels" leaves out biases, tokens, positions and 1-D parameters; "matrices" leaves out biases and 1-D
        parameters, and counts tokens as the matrices that they are in PyTorch; "all" leaves out none.
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


def _decay(config: OptimConfig, total_steps: int) -> optax.GradientTransformation:
    mask = functools.partial(decay_mask, decayed=config.decayed)
    if config.final_weight_decay:
        over_time = cosine_schedule(config.weight_decay, config.final_weight_decay, 0, total_steps)
        return add_scheduled_decay(over_time, mask)
    return optax.add_decayed_weights(config.weight_decay, mask=mask) if config.weight_decay else optax.identity()


def layer_scales(params, layer_decay: float):
    """Learning-rate factors `layer_decay ** (L + 1 - id)`, one array per leaf that broadcasts against it.

    Patch embedding has id 0, encoder block i has id i + 1 (an array over the stacked axis 0), all else id L + 1.

    Raises:
      ConfigError: when the parameters have no stacked encoder blocks.
    """
    named = [(path_name(path), leaf) for path, leaf in _leaves(params)]
    depth = next((leaf.shape[0] for name, leaf in named if _ENCODER_BLOCKS.search(name)), None)
    if depth is None:
        raise ConfigError(f"optim.layer_decay={layer_decay} needs a model with encoder/blocks; use 1.0")

    def scale(path, leaf) -> np.ndarray:
        name = path_name(path)
        if _ENCODER_BLOCKS.search(name):
            factors = layer_decay ** (depth - np.arange(depth, dtype=np.float64))
            return factors.astype(np.float32).reshape(depth, *[1] * (leaf.ndim - 1))
        return np.float32(layer_decay ** (depth + 1) if _FIRST_LAYER.search(name) else 1.0)

    return jax.tree_util.tree_map_with_path(scale, params)


def _leaves(tree):
    return jax.tree_util.tree_flatten_with_path(tree)[0]


def _scale_by_layer(layer_decay: float) -> optax.GradientTransformation:
    if layer_decay == 1.0:
        return optax.identity()
    return optax.stateless(
        lambda updates, params: jax.tree.map(lambda u, s: u * s, updates, layer_scales(updates, layer_decay))
    )
