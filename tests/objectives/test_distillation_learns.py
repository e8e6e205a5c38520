"""A student learns more from a teacher on clips without labels than from the labels of a few clips."""

import functools

import jax
import numpy as np
import pytest
import small_steps

from vidjax.config import MeshConfig
from vidjax.objectives.base import FIXED
from vidjax.tasks import build_objective
from vidjax.training.mesh import batch_sharding, global_batch, make_mesh
from vidjax.training.optim import RunLength
from vidjax.training.run_step import build_step
from vidjax.training.state import init_state

DIRECTIONS = ((0, 5), (0, -5), (5, 0), (-5, 0))
MANY, FEW, ROWS, STEPS = 4096, 16, 64, 300
LEARN = {
    "data.global_batch": ROWS, "optim.reference_batch": ROWS, "optim.base_lr": 2e-3, "optim.min_lr": 2e-5,
    "optim.warmup_steps": 20, "model.spec.init_std": 0.1,
}  # fmt: skip
config_of = functools.partial(small_steps.config_of, LEARN)


def squares(count, seed):
    """Clips of two frames in which a grey square moves in one of four directions over a noisy background."""
    rng = np.random.default_rng(seed)
    video, label = rng.integers(0, 120, (count, 2, 16, 16, 3), dtype=np.uint8), rng.integers(0, 4, count)
    for clip, which in zip(video, label, strict=True):
        top, left = rng.integers(5, 7, 2)
        grey = rng.integers(120, 256)
        for frame in range(2):
            y, x = top + frame * DIRECTIONS[which][0], left + frame * DIRECTIONS[which][1]
            clip[frame, y : y + 5, x : x + 5] = grey
    return video, label.astype(np.int32)


def train(config, clips, seed, teacher=None):
    """The objective and the parameters after some steps on random clips."""
    objective, mesh = build_objective(config, len(DIRECTIONS)), make_mesh(MeshConfig(), jax.devices()[:1])
    rng, (video, label) = np.random.default_rng(seed), clips
    with jax.set_mesh(mesh):
        step = build_step(config, objective, RunLength(STEPS, 20), mesh)
        state = jax.jit(lambda: init_state(objective, step.optimizer.tx, config.data, 0.0, seed))()
        if teacher is not None:
            state = state._replace(extra={FIXED: {"teacher": teacher}})
        for _ in range(STEPS):
            rows = rng.integers(0, len(video), ROWS)
            batch = {"video": video[rows], "label": label[rows], "valid": np.ones(ROWS, bool)}
            if teacher is not None:
                batch["label"] = np.zeros_like(batch["label"])  # nothing can be learned from them
            state, _ = step.call(state, global_batch(batch, batch_sharding(mesh)))
        return objective, jax.device_get(state.params)


def accuracy(objective, params):
    video, label = squares(1024, seed=99)
    return float((np.asarray(jax.jit(objective.scores)(params, video)).argmax(-1) == label).mean())


@pytest.mark.slow
def test_a_student_learns_more_from_a_teacher_than_from_few_labels():
    """Three seeds; chance is 1 in 4, and the standard error of 1024 clips is at most 1.6 points."""
    many = squares(MANY, seed=1)
    few = tuple(of[:FEW] for of in many)
    of_student = config_of(model__name="timesformer_tiny", model__spec__tubelet_size=2)
    teacher = train(config_of(model__name="videomae_tiny"), many, 0)
    best = accuracy(*teacher)
    taught = config_of(
        task="distillation", model__name="timesformer_tiny", model__spec__tubelet_size=2, teacher__weights="random",
        teacher__name="videomae_tiny", teacher__spec__patch_size=8,
    )  # fmt: skip
    found = [
        (accuracy(*train(of_student, few, seed)), accuracy(*train(taught, many, seed, teacher[1]))) for seed in range(3)
    ]
    print(f"teacher {best:.3f}; from {FEW} labels, from the teacher: {found}")
    assert best > 0.9
    for labels, student in found:
        assert student > labels + 0.1
        assert student > best - 0.1
