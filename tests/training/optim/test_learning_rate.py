"""The learning rate against NumPy statements of the papers' rules."""

import math

import jax
import numpy as np
import pytest

from vidjax.config import OptimConfig
from vidjax.errors import ConfigError
from vidjax.training.optim import RunLength, build_optimizer
from vidjax.training.optim.learning_rate import cosine_schedule, fitting_warmup, scaled_lr, warmup_steps


def test_the_learning_rate_scales_with_videos_not_clips():
    peak, floor = scaled_lr(OptimConfig(base_lr=1.5e-4, min_lr=1e-5, reference_batch=256), 2048)
    assert math.isclose(peak, 1.2e-3)  # the paper's peak for a batch of 2048
    assert math.isclose(floor, 8e-5)


@pytest.mark.parametrize(("warmup", "total"), [(0, 10), (1, 10), (4, 20), (10, 10)])
def test_schedule_is_linear_warm_up_from_zero_then_half_a_cosine(warmup, total):
    rising = np.linspace(0, 0.3, warmup)
    left = total - warmup
    falling = [0.01 + 0.5 * (0.3 - 0.01) * (1 + math.cos(math.pi * i / left)) for i in range(left)]
    schedule = jax.jit(cosine_schedule(0.3, 0.01, warmup, total))
    np.testing.assert_allclose([schedule(i) for i in range(total)], [*rising, *falling], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("warmup", [0, 4])
def test_a_step_schedule_falls_at_the_start_of_each_given_epoch(warmup):
    """Epochs of 2.5 steps: the one numbered 3 begins within step 7, the one numbered 4 with step 10."""
    config = OptimConfig(
        name="sgd", base_lr=0.2, reference_batch=64, schedule="steps", step_epochs=(3, 4), step_factors=(0.1, 0.01)
    )
    schedule = build_optimizer(config, RunLength(13, warmup, per_epoch=2.5), global_batch=32).schedule
    rising = np.linspace(0, 0.1, warmup)
    wanted = [*rising, *[0.1] * (8 - warmup), *[0.01] * 2, *[0.001] * 3]
    np.testing.assert_allclose([jax.jit(schedule)(i) for i in range(13)], wanted, rtol=1e-6)


@pytest.mark.parametrize(("epochs", "factors"), [((), ()), ((11, 14), (0.1,)), ((14, 11), (0.1, 0.01))])
def test_a_contradictory_step_schedule_is_refused(epochs, factors):
    config = OptimConfig(schedule="steps", step_epochs=epochs, step_factors=factors)
    with pytest.raises(ConfigError, match=r"such as \(11, 14\) and \(0.1, 0.01\)"):
        build_optimizer(config, RunLength(9), global_batch=8)


def test_v_jepas_schedules_start_above_zero_and_stay_or_fall_along_a_line():
    """Its authors' WarmupCosineSchedule, whose last rate is the peak, and LinearDecaySchedule; for twice the batch."""
    rates = {"base_lr": 5e-4, "min_lr": 5e-4, "warmup_lr": 1e-4, "reference_batch": 8}
    schedule = build_optimizer(OptimConfig(**rates), RunLength(8, 5), global_batch=16).schedule
    wanted = [2e-4, 4e-4, 6e-4, 8e-4, 1e-3, 1e-3, 1e-3, 1e-3]
    np.testing.assert_allclose([jax.jit(schedule)(i) for i in range(8)], wanted, rtol=1e-6)
    falling = OptimConfig(schedule="linear", base_lr=5e-4, min_lr=1e-4, reference_batch=8)
    schedule = build_optimizer(falling, RunLength(4), global_batch=16).schedule
    np.testing.assert_allclose(
        [jax.jit(schedule)(i) for i in range(6)], [1e-3, 8e-4, 6e-4, 4e-4, 2e-4, 2e-4], rtol=1e-6
    )
    with pytest.raises(ConfigError, match="warm-up of 5 steps is longer than the run of 4"):
        build_optimizer(falling, RunLength(4, 5), global_batch=16)


def test_schedule_stays_at_its_floor_after_the_end():
    assert math.isclose(cosine_schedule(0.3, 0.01, 2, 10)(25), 0.01, rel_tol=1e-6)


def test_a_warm_up_longer_than_the_run_is_refused():
    with pytest.raises(ConfigError, match="warm-up of 11 steps is longer than the run of 10"):
        cosine_schedule(0.3, 0.01, 11, 10)


def test_warm_up_steps_override_epochs():
    assert warmup_steps(OptimConfig(warmup_epochs=5), 117.2) == 586
    assert warmup_steps(OptimConfig(warmup_epochs=5, warmup_steps=3), 117.2) == 3


def test_a_warm_up_that_does_not_fit_becomes_a_tenth_of_the_run():
    assert [fitting_warmup(asked, 40) for asked in (0, 39, 40, 41, 5000)] == [0, 39, 40, 4, 4]
    assert fitting_warmup(5, 3) == 1
