"""Runs of feature prediction as a user starts them: what is read from them, and features that do not collapse."""

import dataclasses
import json
import pathlib

import jax
import numpy as np
import pytest
from shipped import read

import vidjax
from vidjax.cli import main
from vidjax.data import motion_videos
from vidjax.main import main as experiment
from vidjax.models.vjepa2 import VJEPA2Encoder
from vidjax.objectives import FeaturePrediction
from vidjax.objectives.normalize import normalize_flat
from vidjax.training import loop
from vidjax.weights.read_run import read_params

# After 200 steps (seed 0, 2 CPU cores): rank 6.0 and a deviation of at least 0.771; when the features are driven to a
# collapse, 1.0 and 0.013. With random weights the rank is 15.2.
RANK, DEVIATION = 3.0, 0.3
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


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--config.data.image_size=16",), "leave nothing to predict on the grid 4x2x2"),
        (("--config.jepa.block_area=(0.15,1.0)", "--config.jepa.block_aspect=(1.0,1.0)"), "leave nothing to see"),
        (("--config.jepa.mask=frame", "--config.jepa.mask_ratio=0.1"), "hides 0 of the 4 units of a frame mask"),
    ],
)
def test_masks_that_leave_nothing_end_in_one_sentence_and_write_nothing(words, sentence, tmp_path, capsys):
    workdir = tmp_path / "run"
    assert experiment(["vidjax", "--config=vjepa2:large,smoke", f"--workdir={workdir}", *words]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("vidjax: ")
    assert sentence in said
    assert len(said.splitlines()) == 1
    assert not workdir.exists()


def effective_rank(features):
    """The exponential of the entropy of the shares of features' directions: between 1 and the number of channels.

    The mean is one of the directions. Without it, the rounding that is left after a collapse would count as many.
    """
    values = np.linalg.svd(features, compute_uv=False) ** 2
    shares = values[values > 0] / values.sum()
    return np.exp(-(shares * np.log(shares)).sum())


def learns_nothing(objective, encoder, cubes):
    """The targets of a student that is its own teacher, and through which gradients flow: equal features are best."""
    patches = normalize_flat(cubes, objective.mean, objective.std)
    return VJEPA2Encoder(objective.module.spec).apply({"params": encoder}, patches)


def features_of(model, videos):
    files = sorted(pathlib.Path(videos, "val").rglob("*.mp4"))
    clips = np.stack([vidjax.data.read_frames(file, range(0, 16, 2)) for file in files])
    return np.asarray(model(clips)["tokens"]).reshape(-1, model.spec.width)


def run_of_200_steps(videos, folder):
    """The lowest deviation of the targets, and the ranks of the features of random weights and of the teacher's."""
    changes = {"jepa__teacher_momentum": 0.9, "model__spec__init_std": 0.1}
    loop.train(config_of(videos, **changes, train__steps=200), folder)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    deviation = min(line["train/target_std"] for line in lines if "train/target_std" in line)
    model = vidjax.from_pretrained(folder)
    fresh = jax.jit(model.module.init)(jax.random.key(0), np.zeros((1, *model.spec.clip_shape), np.float32))["params"]
    random = dataclasses.replace(model, params=fresh)
    found = [effective_rank(features_of(each, videos)) for each in (random, model)]
    print(f"lowest deviation {deviation:.3f}; rank with random weights {found[0]:.1f}, trained {found[1]:.1f}")
    return deviation, *found


@pytest.mark.slow
def test_features_do_not_collapse(videos, tmp_path):
    deviation, _, trained = run_of_200_steps(videos, tmp_path)
    assert deviation > DEVIATION
    assert trained > RANK


@pytest.mark.slow
def test_a_collapse_shows_in_the_deviation_and_in_the_rank(videos, tmp_path, monkeypatch):
    whole = FeaturePrediction.loss

    def own_teacher(self, params, extra, *rest):
        loss, (metrics, _) = whole(self, params, {"teacher": {"encoder": params["encoder"]}}, *rest)
        return loss, (metrics, extra)

    monkeypatch.setattr(FeaturePrediction, "_teach", learns_nothing)
    monkeypatch.setattr(FeaturePrediction, "loss", own_teacher)
    deviation, _, trained = run_of_200_steps(videos, tmp_path)
    assert deviation < DEVIATION
    assert trained < RANK


def test_the_rank_counts_directions():
    rng = np.random.default_rng(0)
    collapsed = rng.normal(size=4) + 1e-6 * rng.normal(size=(64, 4))
    assert effective_rank(collapsed) == pytest.approx(1, abs=1e-6)
    assert effective_rank(np.linalg.qr(rng.normal(size=(64, 4)))[0]) == pytest.approx(4)
