"""Runs of feature alignment: they learn, resume without a stored teacher, and initialise fine-tuning."""

import json

import jax
import numpy as np
import pytest

import vidjax
from vidjax import config as config_lib
from vidjax.errors import ConfigError
from vidjax.main import read_config
from vidjax.training.loop import train
from vidjax.weights.read_run import read_params
from vidjax.weights.rules import flatten

pytestmark = pytest.mark.slow  # the run that they share takes half a minute
STEPS = 30


def smoke(**changes):
    words = [f"--config.{key.replace('__', '.')}={value}" for key, value in changes.items()]
    return read_config(["--config=videomamba_pretrain:smoke", *words])


def losses(workdir):
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["train/loss"] for line in lines if "train/loss" in line}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("align")
    train(smoke(train__log_every=1, train__checkpoint_every=STEPS), workdir)
    return workdir


def test_the_smoke_run_learns_to_predict_a_random_teacher(run):
    found = losses(run)
    assert found[STEPS] < 0.5 * found[1]
    assert found[1] == pytest.approx(2, abs=0.5)  # unrelated unit vectors


def test_checkpoints_hold_neither_teacher_nor_its_moments(run):
    _, params = read_params(run)
    student = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert set(params) == {"encoder", "decoders_0"}
    stored = sum(path.stat().st_size for path in (run / "checkpoints" / str(STEPS)).rglob("*") if path.is_file())
    teacher = sum(
        leaf.size for leaf in jax.tree.leaves(jax.eval_shape(lambda: vidjax.build_model(
            "clip_tiny", num_classes=0, image_size=24
        ).init(jax.random.key(0), np.zeros((1, 8, 24, 24, 3), np.float32)))["params"])
    )  # fmt: skip
    assert stored < 4 * (3 * student + teacher / 2)  # float32: parameters and two moments


def test_a_resumed_run_has_the_same_teacher(run, tmp_path):
    """After a restart half-way, the losses are those of the run that was not stopped."""
    for steps in (STEPS // 2, STEPS):
        train(smoke(train__log_every=1, train__checkpoint_every=STEPS // 2, train__steps=steps), tmp_path)
        if steps < STEPS:
            early = losses(tmp_path)
    whole, resumed = losses(run), losses(tmp_path)
    assert early[1] == whole[1]
    # The schedule of the first part is shorter, so only its first steps equal the whole run's. The test is that the
    # loss continues from where it was, which it would not with another teacher.
    assert resumed[STEPS // 2 + 1] < 1.3 * early[STEPS // 2]


def test_the_block_that_is_not_aligned_keeps_its_initial_values(run):
    params = read_params(run)[1]["encoder"]["blocks"]
    config = smoke()
    from vidjax.tasks import build_objective

    objective = build_objective(config, 1)
    began = jax.jit(lambda: objective.init(jax.random.key(config.seed), {})[0])()["encoder"]["blocks"]
    for (path, after), before in zip(flatten(params).items(), flatten(began).values(), strict=True):
        np.testing.assert_array_equal(after[-1], before[-1], err_msg=path)
    moved = [
        np.abs(a[:-1] - b[:-1]).max() for a, b in zip(flatten(params).values(), flatten(began).values(), strict=True)
    ]
    assert max(moved) > 1e-3


def test_the_run_can_be_read_as_a_backbone(run):
    model = vidjax.from_pretrained(run)
    assert (model.family, model.num_classes) == ("videomamba", 0)
    np.testing.assert_array_equal(
        model.params["encoder"]["blocks"]["norm"]["scale"],
        read_params(run, "best")[1]["encoder"]["blocks"]["norm"]["scale"],
    )
    assert np.all(np.asarray(model.params["encoder"]["norm"]["scale"]) == 1)


def test_fine_tuning_starts_from_it(run, tmp_path, capsys):
    """As in the recipe: videomamba_k400.py with --config.init_from=RUN; the head and the last norm are new."""
    words = ["--config=videomamba_k400:middle_masked,smoke", f"--config.init_from={run}", "--config.train.steps=1"]
    config = read_config(
        [
            *words,
            "--config.optim.base_lr=0",
            "--config.optim.min_lr=0",
            "--config.eval.clips=1",
            "--config.eval.crops=1",
        ]
    )
    train(config, tmp_path)
    said = capsys.readouterr().err
    assert f"starting from parameters of {run} at step {STEPS}" in said
    assert "new: encoder/norm, head; not used: decoders_0" in said
    ours, theirs = (flatten(read_params(of)[1]["encoder"]) for of in (tmp_path, run))
    for path in theirs:
        np.testing.assert_array_equal(ours[path], theirs[path], err_msg=path)


def test_a_run_can_teach_the_next(run, tmp_path, capsys):
    """A student of a student: the teacher is the run's encoder, named by the run's folder."""
    config = smoke(align__teacher="videomamba_tiny", align__teacher_from=run, model__mask="tube", train__steps=2)
    train(config, tmp_path)
    assert f"teacher: parameters of {run} at step {STEPS}" in capsys.readouterr().err


def test_a_teacher_of_another_family_than_its_name_is_refused(run, tmp_path):
    with pytest.raises(ConfigError, match=r"align\.teacher_from: .* holds a VideoMamba, but the model is a CLIPVision"):
        train(smoke(align__teacher_from=run, train__steps=2), tmp_path)


def test_published_weights_are_read_in_the_layout_of_transformers(tmp_path, capsys):
    transformers = pytest.importorskip(
        "transformers", reason="the teacher's file is made by transformers (extra: test)"
    )
    sizes = {"hidden_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 384}
    vision = transformers.CLIPVisionConfig(**sizes, patch_size=8, image_size=64, projection_dim=64)
    transformers.CLIPVisionModelWithProjection(vision).save_pretrained(tmp_path / "clip")
    config = smoke(align__teacher_from=tmp_path / "clip", train__steps=2)
    assert isinstance(config, config_lib.Config)
    train(config, tmp_path / "run")
    said = capsys.readouterr().err
    assert f"teacher: parameters of {tmp_path / 'clip'}" in said
    assert "encoder/pos_embed resized from 8x8 to 3x3" in said
    assert "trained on pixels normalised by mean" in said
