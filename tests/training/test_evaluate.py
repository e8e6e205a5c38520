"""Classifiers are scored during training and separately, on synthetic clips."""

import json
import shutil

import jax
import numpy as np
import pytest

import vidjax
from vidjax import config as config_lib
from vidjax.errors import ConfigError, DataError, ResumeError
from vidjax.training import evaluate, train
from vidjax.weights import run_files
from vidjax.weights.read_run import read_params


def make_config(**changes):
    keys = {
        "task": "classification",
        "model.name": "videomae_tiny",
        "model.dtype": "float32",
        "data.name": "synthetic",
        "data.num_classes": 3,
        "data.num_frames": 2,
        "data.image_size": 16,
        "data.global_batch": 8,
        "data.crop": "center",
        "eval.clips": 1,
        "eval.crops": 1,
        "eval.batch": 128,
        "optim.ema": 0.5,
        "optim.layer_decay": 0.75,
        "train.steps": 4,
        "train.eval_every": 2,
        "train.checkpoint_every": 3,
        "train.keep_latest": 1,
    }
    config = config_lib.defaults()
    config.update_from_flattened_dict(keys | {key.replace("__", "."): value for key, value in changes.items()})
    return config_lib.from_dict(config.to_dict())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("classifier")
    return workdir, train(make_config(), workdir)


def test_a_classifier_is_scored_during_training_and_at_the_end(run):
    workdir, results = run
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    scored = {line["step"]: line["val/top1"] for line in lines if "val/top1" in line}
    assert list(scored) == [2, 4]
    written = json.loads((workdir / "results.json").read_text())
    assert max(scored.values()) == lines[-1]["eval/top1"] == results["eval/top1"] == written["eval/top1"]
    assert json.loads((workdir / "checkpoints" / "scores.json").read_text()) == {str(k): v for k, v in scored.items()}


def test_the_best_checkpoint_scores_the_same_by_itself(run, tmp_path):
    workdir, _ = run
    scores = json.loads((workdir / "checkpoints" / "scores.json").read_text())
    results = evaluate(make_config(init_from=str(workdir)), tmp_path)
    assert results["eval/top1"] == max(scores.values())
    assert json.loads((tmp_path / "results.json").read_text())["eval/top1"] == results["eval/top1"]


def test_a_trained_folder_is_scored_whatever_its_run_started_from(run, tmp_path):
    """The command that fine-tuned from other weights also scores the result."""
    workdir, _ = run
    scores = json.loads((workdir / "checkpoints" / "scores.json").read_text())
    shutil.copytree(workdir, tmp_path / "run")
    began_from = make_config(init_from=str(tmp_path / "gone"))
    assert evaluate(began_from, tmp_path / "run")["eval/top1"] == max(scores.values())


@pytest.fixture
def worsened(run, tmp_path):
    """The run, changed as if its first validation had scored better than its last."""
    workdir = shutil.copytree(run[0], tmp_path / "worsened")
    (workdir / "checkpoints" / "scores.json").write_text(json.dumps({"2": 0.9, "4": 0.1}))
    return workdir


@pytest.mark.parametrize(("which", "step"), [("best", 2), ("last", 4)])
def test_the_configured_checkpoint_is_scored_and_named_in_the_results(worsened, which, step, capsys):
    """VideoMAE scores its last epoch (run_class_finetuning.py:541); VideoMamba's --test_best scores the best one."""
    results = evaluate(make_config(eval__checkpoint=which), worsened)
    assert (results["eval/checkpoint"], results["eval/step"]) == (which, step)
    assert json.loads((worsened / "results.json").read_text()) == results
    here = {
        "best": "chosen from 2 validations on the same 1024 videos that are scored here, so the score is optimistic",
        "last": "the last",
    }
    words = f"{here[which]} (eval.checkpoint={which})"
    assert f"scoring checkpoint {step} of {worsened}, {words}" in capsys.readouterr().err
    assert results["eval/chosen"] == words
    assert f"Checkpoint {step} was scored, {words}." in (worsened / "report.md").read_text()
    config = json.loads((worsened / "config.json").read_text())
    config["eval"]["checkpoint"] = which
    (worsened / "config.json").write_text(json.dumps(config))
    used = vidjax.from_pretrained(worsened)
    before = {"best": "chosen from 2 validations on the 1024 validation videos of its run", "last": "the last"}
    assert used.notes == (f"checkpoint {step} of {worsened}, {before[which]} (eval.checkpoint={which})",)
    average = read_params(worsened, which, ema=True)[1]
    jax.tree.map(np.testing.assert_array_equal, dict(used.params), average)


def test_a_score_on_other_videos_is_not_said_to_be_optimistic(worsened, tmp_path, capsys):
    """The checkpoint was chosen on the rows of this split, but other rows are scored."""
    data = json.loads((worsened / "data.json").read_text())
    data["validation"]["content_id"] = "of other videos"
    (worsened / "data.json").write_text(json.dumps(data))
    results = evaluate(make_config(init_from=str(worsened)), tmp_path / "elsewhere")
    assert results["eval/chosen"] == (
        "chosen from 2 validations on the 1024 validation videos of its run (eval.checkpoint=best)"
    )
    (worsened / "data.json").unlink()  # as in a run that did not keep it
    evaluate(make_config(), worsened)
    assert "chosen from 2 validations on the validation videos of its run (eval" in capsys.readouterr().err


@pytest.mark.parametrize(("which", "step"), [("best", 2), pytest.param("last", 4, marks=pytest.mark.slow)])
def test_a_run_ends_with_the_score_of_the_configured_checkpoint(worsened, which, step):
    """Stopped before its last validation; the first one, raised to 1, cannot be beaten."""
    (worsened / "results.json").unlink()
    (worsened / "checkpoints" / "scores.json").write_text(json.dumps({"2": 1.1}))
    results = train(make_config(eval__checkpoint=which), worsened)
    assert (results["eval/checkpoint"], results["eval/step"]) == (which, step)
    alone = evaluate(make_config(eval__checkpoint=which), worsened)
    assert alone["eval/top1"] == results["eval/top1"]


def test_a_run_stopped_in_its_last_evaluation_repeats_it_when_resumed(run):
    workdir, results = run
    (workdir / "results.json").unlink()
    scores = json.loads((workdir / "checkpoints" / "scores.json").read_text())
    (workdir / "checkpoints" / "scores.json").write_text(json.dumps({"2": scores["2"]}))
    assert train(make_config(), workdir) == results


def test_a_run_leaves_a_report_with_its_results(run):
    workdir, results = run
    text = (workdir / "report.md").read_text()
    assert f"| {results['eval/top1']:.1%} | eval/top1 |" in text
    assert "The eval/ figures are based on 1024 videos." in text
    assert "The run was trained on 1024 and validated on 1024 videos." in text


def test_classes_in_another_order_are_refused(tmp_path):
    trained = ("jump", "run", "walk")
    run_files.write_labels(tmp_path, trained)
    run_files.check_labels(tmp_path, trained)
    run_files.check_labels(tmp_path, None)
    with pytest.raises(DataError, match=r"class 1 is 'run' in .* and 'walk' in the data"):
        run_files.check_labels(tmp_path, ("jump", "walk", "run"))
    with pytest.raises(DataError, match=r"class 2 is 'walk' in .* and missing in the data"):
        run_files.check_labels(tmp_path, ("jump", "run"))


def test_what_cannot_be_scored_is_refused(run, tmp_path):
    workdir, _ = run
    scored = (
        "action, attentive_probe, captioning, classification, contrastive, distillation, least_squares, multi_label, "
        "regression, zero_shot"
    )
    with pytest.raises(ConfigError, match=f"scores {scored}; config.task is 'masked_autoencoding'"):
        evaluate(make_config(task="masked_autoencoding"), workdir)
    with pytest.raises(ResumeError, match="holds no checkpoint"):
        evaluate(make_config(), tmp_path)
    with pytest.raises(
        ConfigError, match=r"holds a different model from config.model: head/bias is \(3,\) there and \(5,\)"
    ):
        evaluate(make_config(data__num_classes=5), workdir)
