"""Runs of feature prediction as a user starts them: what is read from them, and features that do not collapse."""

import json
import pathlib

import jax
import numpy as np
import pytest
from shipped import read

import vidjax
from vidjax.cli import main
from vidjax.data import motion_videos
from vidjax.training import loop
from vidjax.weights.read_run import read_params

CHANGES = {
    "data__name": "folder",
    "model__unroll": 1,  # compiles faster
    "train__log_every": 1,
    "train__checkpoint_every": 100,
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "motion"
    return motion_videos.prepare(str(folder), motion_videos.MotionSpec(train_videos=24, test_videos=0, val_videos=8))


@pytest.fixture(scope="module")
def run(videos, tmp_path_factory):
    """A run of four steps, whose teacher moves fast."""
    workdir = tmp_path_factory.mktemp("runs") / "vjepa"
    loop.train(config_of(videos, train__steps=4, jepa__teacher_momentum=0.5), workdir)
    return workdir


def config_of(videos, arg="large,smoke", **changes):
    return read("vjepa2", arg, data__root=videos, **CHANGES | changes)


def same(ours, theirs):
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, ours, theirs)))


@pytest.mark.slow
def test_a_run_is_its_teachers_encoder(run, videos, capsys):
    teacher, trained = (read_params(run, ema=ema)[1] for ema in (True, False))
    assert list(teacher) == ["encoder"]
    assert not same(teacher["encoder"], trained["encoder"])
    model = vidjax.from_pretrained(run)
    assert same(model.params, teacher)
    assert model.num_classes == 0
    assert model(np.zeros((1, *model.spec.clip_shape), np.uint8))["tokens"].shape == (1, 36, 96)
    assert main(["reconstruct", videos, "--model", str(run)]) != 0
    assert "has no decoder to reconstruct with" in capsys.readouterr().err


@pytest.mark.slow
def test_the_cool_down_starts_from_encoder_predictor_and_teacher(run, videos, tmp_path, capsys):
    config = config_of(
        videos, "large_cooldown,smoke", init_from=run, train__steps=1, optim__base_lr=0.0, optim__min_lr=0.0,
        jepa__teacher_momentum=1.0,
    )  # fmt: skip
    loop.train(config, tmp_path)
    assert f"starting from teacher: parameters of the teacher of {run} at step 4" in capsys.readouterr().err
    for ema in (False, True):
        assert same(read_params(tmp_path, ema=ema)[1], read_params(run, ema=ema)[1])


@pytest.mark.slow
def test_fine_tuning_starts_from_the_teacher(run, videos, tmp_path):
    words = {"task": "classification", "model__name": "vjepa2_tiny", "init_from": run, "train__steps": 1}
    frozen = {"model__freeze_backbone": True, "data__num_frames": 8, "data__image_size": 24, "data__workers": 0}
    batches = {"data__global_batch": 8, "eval__clips": 1, "eval__crops": 1, "model__dtype": "float32"}
    loop.train(read("finetune", "", data__root=videos, **CHANGES | words | frozen | batches), tmp_path)
    assert same(read_params(tmp_path)[1]["encoder"], read_params(run, ema=True)[1]["encoder"])


def effective_rank(features):
    """The exponential of the entropy of the covariance's eigenvalues: between 1 and the number of channels."""
    values = np.linalg.svd(features - features.mean(axis=0), compute_uv=False) ** 2
    shares = values[values > 0] / values.sum()
    return np.exp(-(shares * np.log(shares)).sum())


@pytest.mark.slow
def test_features_do_not_collapse(videos, tmp_path):
    """After 200 steps with a fast teacher, the targets still differ, and the features of clips span many directions.

    With one direction left, the rank would be 1; it was 8.7 when measured.
    """
    changes = {"train__steps": 200, "jepa__teacher_momentum": 0.9, "model__spec__init_std": 0.1}
    loop.train(config_of(videos, **changes), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    deviations = [line["train/target_std"] for line in lines if "train/target_std" in line]
    model = vidjax.from_pretrained(tmp_path)
    files = sorted(pathlib.Path(videos, "val").rglob("*.mp4"))
    clips = np.stack([vidjax.data.read_frames(file, range(0, 16, 2)) for file in files])
    features = np.asarray(model(clips)["tokens"]).reshape(-1, model.spec.width)
    print(f"deviation {deviations[0]:.3f} to {deviations[-1]:.3f}, rank {effective_rank(features):.1f}")
    assert min(deviations) > 0.3
    assert effective_rank(features) > 4
    assert effective_rank(np.outer(features[:, 0], np.ones(4))) == pytest.approx(1)
