"""Fitting a step to memory: the choices, the accuracy of the estimate, and the message when nothing fits."""

import dataclasses

import jax
import pytest
import saved_runs

from vidjax.config import MeshConfig, with_keys
from vidjax.errors import ConfigError
from vidjax.tasks import build_objective
from vidjax.training.choices import memory
from vidjax.training.mesh import make_mesh
from vidjax.training.optim import RunLength
from vidjax.training.run_step import build_step, loaded_shapes

KEYS = {"data.num_frames": 8, "data.image_size": 32, "data.global_batch": 16, "model.dtype": "float32"}


def one_device():
    return make_mesh(MeshConfig(), jax.devices()[:1])


@pytest.fixture(scope="module")
def fitted():
    """Fits the step of a configuration on one device."""
    mesh = one_device()

    def fit(**changes):
        config = with_keys(saved_runs.make_config(), KEYS | {"data.num_classes": 3} | changes)
        with jax.set_mesh(mesh):
            return memory.fit_step(
                config,
                lambda config: build_step(config, build_objective(config, 3), RunLength(10), mesh),
                loaded_shapes(config, 3, mesh),
            )

    return fit


OPEN = {"train.accumulate": 0, "model.remat": ""}


def test_a_step_that_fits_is_one_batch_without_recomputation(fitted):
    fit = fitted(**OPEN)
    assert (fit.config.train.accumulate, fit.config.model.remat) == (1, "none")
    assert 0 < fit.needed < fit.free


@pytest.fixture(scope="module")
def whole(fitted):
    """Bytes that one batch without recomputation needs."""
    return fitted(**OPEN).needed


def test_less_memory_gives_micro_batches_and_then_rematerialisation(fitted, whole, monkeypatch):
    """The first step's memory is halved, and then cut to a third; what is chosen then fits."""
    monkeypatch.setattr(memory, "free_memory", lambda: whole // 2)
    half = fitted(**OPEN)
    assert half.config.train.accumulate > 1
    assert half.config.model.remat == "none"
    assert half.needed <= whole // 2
    monkeypatch.setattr(memory, "free_memory", lambda: whole // 3)
    little = fitted(**OPEN)
    assert little.config.model.remat != "none"
    assert little.needed <= whole // 3


@pytest.mark.parametrize(("frames", "parts"), [(8, [1, 2, 4]), (512, [1, 2, 4, 8]), (2048, [1, 2, 4, 8, 16])])
def test_micro_batches_have_4_clips_a_device_or_8192_tokens_before_anything_is_recomputed(frames, parts):
    """16 clips of 64, 4096 or 16,384 tokens, on one device."""
    config, mesh = with_keys(saved_runs.make_config(), KEYS | OPEN | {"data.num_frames": frames}), one_device()
    with jax.set_mesh(mesh):
        found = list(memory.candidates(config, lambda config: None, loaded_shapes(config, 3, mesh), None))
    assert [tried.train.accumulate for tried, _ in found if tried.model.remat == "none"] == parts


@pytest.mark.slow
def test_mixed_pairs_stay_in_one_micro_batch(fitted, whole, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: whole // 3)
    fit = fitted(**OPEN, **{"data.mixup": 0.8, "data.global_batch": 14})
    assert fit.config.train.accumulate in (7,)  # 14 rows in pairs; 2 micro-batches of 7 would split one


def test_groups_of_mixed_rows_stay_in_one_micro_batch(fitted, whole, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: whole // 3 * 2)
    fit = fitted(**OPEN, **{"data.mixup": 0.8, "data.global_batch": 24, "data.mix_group": 6})
    assert fit.config.train.accumulate == 4  # 3, of 8 rows, would fit and split a group


def test_a_run_that_cannot_fit_says_what_it_needs_and_what_helps(fitted, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 10**6)
    with pytest.raises(ConfigError, match=r"needs about 0\.\d GB per device, and 0\.0 GB are free; use model.rem"):
        fitted(**{"model.remat": "none"})
    with pytest.raises(ConfigError, match="a smaller model"):
        fitted(**{"model.remat": "full", "train.accumulate": 1})


@pytest.mark.slow  # compiles every choice that is open
def test_a_run_that_no_choice_makes_fit_asks_for_a_smaller_model(fitted, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 10**6)
    with pytest.raises(ConfigError, match="a smaller model"):
        fitted(**OPEN)


@pytest.mark.parametrize("task", ["classification", "masked_autoencoding"])
def test_the_estimate_before_compiling_is_near_what_the_compiler_finds(fitted, task):
    fit = fitted(task=task, **({"model.mask_ratio": 0.75} if task != "classification" else {}))
    mesh = one_device()
    with jax.set_mesh(mesh):
        estimate = memory.estimate_memory(fit.step, loaded_shapes(fit.config, 3, mesh), 1)
    assert 0.6 * fit.needed < estimate < 1.5 * fit.needed


def test_a_step_that_the_compiler_refuses_gives_way_to_a_smaller_one(fitted, monkeypatch):
    """A TPU's compiler knows better than the estimate, and raises when memory does not suffice."""

    class Refusing:
        def __init__(self, call, lowered):
            self.call, self.lowered = call, lowered

        def lower(self, *shapes):
            self.lowered.append(self)
            if len(self.lowered) == 1:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm.")
            return self.call.lower(*shapes)

    lowered, build = [], build_step

    def refusing(*arguments):
        step = build(*arguments)
        return dataclasses.replace(step, call=Refusing(step.call, lowered))

    monkeypatch.setattr(f"{__name__}.build_step", refusing)
    assert fitted(**{"model.remat": "", "train.accumulate": 1}).config.model.remat == "dots"
