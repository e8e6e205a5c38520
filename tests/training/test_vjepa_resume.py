"""A run of feature prediction that was killed goes on with the same masks, losses and teacher, to the bit."""

import shutil

import jax
import numpy as np
import pytest
from shipped import read
from toy_runs import losses, saved_steps

from vidjax.data import motion_videos
from vidjax.training import train
from vidjax.weights.read_run import read_params

# The teacher moves fast, so that it differs from the student and from the teacher of the step before.
CHANGES = {
    "data__name": "folder", "data__global_batch": 8, "data__threads": 1, "model__unroll": 1, "train__steps": 4,
    "train__log_every": 1, "train__checkpoint_every": 2, "jepa__teacher_momentum": 0.5, "optim__warmup_steps": 1,
}  # fmt: skip


@pytest.mark.slow
def test_a_killed_run_repeats_losses_encoder_predictor_and_teacher_to_the_bit(tmp_path):
    spec = motion_videos.MotionSpec(train_videos=24, test_videos=0, val_videos=8)
    config = read("vjepa2", "large,smoke", data__root=motion_videos.prepare(str(tmp_path / "data"), spec), **CHANGES)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(config, whole)
    shutil.copytree(whole, killed)
    shutil.rmtree(killed / "checkpoints" / "4")  # as after a kill between the two checkpoints
    (killed / "metrics.jsonl").write_text("".join((whole / "metrics.jsonl").read_text().splitlines(True)[:2]))
    assert (list(losses(killed)), saved_steps(killed)) == ([1, 2], [2])
    train(config, killed)
    assert list(losses(killed)) == [1, 2, 3, 4]
    assert losses(killed) == losses(whole)
    teacher, student = (read_params(whole, ema=ema) for ema in (True, False))
    assert set(student[1]) == {"encoder", "predictor"}
    assert not all(jax.tree.leaves(jax.tree.map(np.array_equal, teacher[1]["encoder"], student[1]["encoder"])))
    for ema, params in ((True, teacher), (False, student)):
        jax.tree.map(np.testing.assert_array_equal, read_params(killed, ema=ema), params)
