"""The learning rate: how it scales with the batch, its warm-up, and its schedules.

Scaling, warm-up and cosine are those of VideoMAE's code (`cosine_scheduler`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vidjax.config import OptimConfig
from vidjax.errors import ConfigError

Schedule = Callable[[Int[Array, ""] | int], Float[Array, ""]]


@dataclasses.dataclass(frozen=True)
class RunLength:
    """The length of a run and of its phases, in steps.

    Attributes:
      total: all steps.
      warmup: steps at the start in which the learning rate rises.
      last_layer_frozen: steps at the start in which the last layer of a projection head is frozen.
      per_epoch: steps per epoch, for schedules in epochs.
    """

    total: int
    warmup: int = 0
    last_layer_frozen: int = 0
    per_epoch: float = 1.0


def scaled_lr(config: OptimConfig, global_batch: int) -> tuple[float, float]:
    """The peak and the final learning rate: the configured rates times `global_batch / reference_batch`.

    `global_batch` counts videos: several clips of one decoded video do not raise the learning rate.
    """
    factor = global_batch / config.reference_batch
    return config.base_lr * factor, config.min_lr * factor


def warmup_steps(config: OptimConfig, steps_per_epoch: float) -> int:
    """The configured number of steps of linear warm-up; `warmup_steps` takes precedence over `warmup_epochs`."""
    return config.warmup_steps or round(config.warmup_epochs * steps_per_epoch)


def fitting_warmup(asked: int, total: int) -> int:
    """The warm-up in steps: as configured, or a tenth of the run if the configured one is longer than the run."""
    return asked if asked <= total else max(1, total // 10)


def cosine_schedule(peak: float, floor: float, warmup_steps: int, total_steps: int, warmup_lr: float = 0.0) -> Schedule:
    """Learning rate of step i: a line from `warmup_lr` to `peak`, then half a cosine.

    The warm-up starts at step 0 and reaches `peak` at its last step. After it, the rate is
    `floor + (peak - floor) / 2 * (1 + cos(pi * i / n))`, with i counted from 0 over the remaining n steps. VideoMAE's
    code warms up from 0, because it never uses its option `warmup_lr`.

    Raises:
      ConfigError: when the warm-up is longer than the run.
    """
    _check_warmup(warmup_steps, total_steps)

    def cosine(step):
        return floor + 0.5 * (peak - floor) * (1.0 + jnp.cos(math.pi * _progress(step, warmup_steps, total_steps)))

    return _warmed_up(cosine, peak, warmup_steps, warmup_lr)


def linear_schedule(peak: float, floor: float, warmup_steps: int, total_steps: int, warmup_lr: float = 0.0) -> Schedule:
    """Learning rate of step i: as `cosine_schedule`, but after warm-up `peak + (floor - peak) * i / n`.

    Raises:
      ConfigError: when the warm-up is longer than the run.
    """
    _check_warmup(warmup_steps, total_steps)

    def linear(step):
        return peak + (floor - peak) * _progress(step, warmup_steps, total_steps)

    return _warmed_up(linear, peak, warmup_steps, warmup_lr)


def step_schedule(
    peak: float,
    warmup_steps: int,
    step_epochs: Sequence[float],
    step_factors: Sequence[float],
    steps_per_epoch: float,
    warmup_lr: float = 0.0,
) -> Schedule:
    """Learning rate of step i: linear warm-up, then `peak`, then `peak * factor` from the start of each given epoch.

    Raises:
      ConfigError: as `check_steps`.
    """
    check_steps(step_epochs, step_factors)
    starts = np.asarray([math.ceil(epoch * steps_per_epoch) for epoch in step_epochs])
    factors = np.asarray([1.0, *step_factors], np.float32)

    def steps(step):
        return peak * jnp.asarray(factors)[jnp.searchsorted(starts, step, side="right")]

    return _warmed_up(steps, peak, warmup_steps, warmup_lr)


def check_steps(step_epochs: Sequence[float], step_factors: Sequence[float]) -> None:
    """Refuse a step schedule whose epochs and factors do not fit together.

    Raises:
      ConfigError: when epochs and factors differ in number, or the epochs do not increase.
    """
    if len(step_epochs) != len(step_factors) or not step_epochs or list(step_epochs) != sorted(set(step_epochs)):
        raise ConfigError(
            f"optim.step_epochs={tuple(step_epochs)} must increase, and optim.step_factors={tuple(step_factors)} must "
            "hold one factor for each, such as (11, 14) and (0.1, 0.01)"
        )


def _check_warmup(warmup_steps: int, total_steps: int) -> None:
    if warmup_steps > total_steps:
        raise ConfigError(
            f"a warm-up of {warmup_steps} steps is longer than the run of {total_steps}; "
            "lower optim.warmup_epochs or optim.warmup_steps, or train longer"
        )


def _progress(step, warmup_steps: int, total_steps: int) -> Float[Array, ""]:
    return jnp.clip((step - warmup_steps) / max(total_steps - warmup_steps, 1), 0.0, 1.0)


def _warmed_up(after: Schedule, peak: float, warmup_steps: int, start: float) -> Schedule:
    rise = (peak - start) / max(warmup_steps - 1, 1)
    return lambda step: jnp.where(step < warmup_steps, start + rise * step, after(step))


def _cosine(config: OptimConfig, peak: float, floor: float, run: RunLength) -> Schedule:
    return cosine_schedule(peak, floor, run.warmup, run.total, _start(config, peak))


def _linear(config: OptimConfig, peak: float, floor: float, run: RunLength) -> Schedule:
    return linear_schedule(peak, floor, run.warmup, run.total, _start(config, peak))


def _steps(config: OptimConfig, peak: float, floor: float, run: RunLength) -> Schedule:
    del floor
    return step_schedule(peak, run.warmup, config.step_epochs, config.step_factors, run.per_epoch, _start(config, peak))


def _start(config: OptimConfig, peak: float) -> float:
    """The learning rate at the start of the warm-up, scaled like the peak."""
    return config.warmup_lr * peak / config.base_lr if config.base_lr else 0.0


# The choices of optim.schedule: the learning rate at each step.
SCHEDULES = {"cosine": _cosine, "linear": _linear, "steps": _steps}
