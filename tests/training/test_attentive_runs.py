"""Attentive probes from videos to the report: a run of task=attentive_probe, and mode=probe with attentive probes."""

import json
import shutil

import jax
import numpy as np
import pytest
from shipped import read

from vidjax import from_pretrained
from vidjax.config import EvalConfig, ProbeConfig, with_keys
from vidjax.data import motion_videos, open_source
from vidjax.data.clips.eval_views import protocol_views
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.datasets import motion
from vidjax.data.sources.annotations import LABEL
from vidjax.errors import ConfigError, WeightsError
from vidjax.evaluation.probes.table import fit_all
from vidjax.models.pooling import PooledClassifier
from vidjax.models.probe_grid import pick
from vidjax.training import evaluate, train
from vidjax.training.attentive_runs import row
from vidjax.training.config_checks import check_config
from vidjax.training.probing import probe
from vidjax.weights.read_run import read_params

GRID = {"optim__head_learning_rates": (1e-2, 1e-3), "optim__head_weight_decays": (0.1,)}
SHORT = {"train__steps": 6, "train__log_every": 1, "train__eval_every": 3, "train__checkpoint_every": 3, **GRID}


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    spec = motion_videos.MotionSpec(train_videos=32, test_videos=12, val_videos=8)
    with pytest.MonkeyPatch.context() as patch:
        made = motion_videos.prepare(str(tmp_path_factory.mktemp("few")), spec)
        patch.setattr(motion, "write_videos", lambda root, split: made)
        yield


@pytest.fixture(scope="module")
def run(few, tmp_path_factory):
    folder = tmp_path_factory.mktemp("probe") / "run"
    config = read("motion_probe", "smoke", **SHORT)
    return config, folder, train(config, folder)


def shares_right(config, split, model, trees):
    """The share of a split's videos that the model classifies rightly with each tree, from one central view."""
    source, recipe = open_source(config.data, split), ClipRecipe.of(config.data, EvalConfig(clips=1, crops=1))
    clips = np.concatenate([protocol_views(source[number].video, recipe) for number in range(len(source))])
    labels = source.row_labels()
    scores = jax.jit(model.objective.scores)
    return [float((np.argmax(scores(params, clips), axis=1) == labels).mean()) for params in trees]


@pytest.mark.slow
def test_the_head_is_chosen_on_one_split_and_scored_on_another(run):
    config, folder, results = run
    found = json.loads((folder / "heads.json").read_text())
    assert (found["split"], found["videos"], results["eval/num_expected"]) == ("val", 8, 12)
    assert [(head["learning_rate"], head["weight_decay"]) for head in found["heads"]] == [(1e-2, 0.1), (1e-3, 0.1)]
    top1 = [head["top1"] for head in found["heads"]]
    assert found["chosen"] == results["eval/head"] == int(np.argmax(top1))
    assert results["eval/head_learning_rate"] == found["heads"][found["chosen"]]["learning_rate"]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    validated = {line["step"]: line for line in lines if "val/top1" in line}
    assert set(validated) == {3, 6}
    assert [validated[6][f"val/top1_lr{rate}_wd0.1"] for rate in ("0.01", "0.001")] == top1
    assert validated[6]["val/top1"] == max(top1)
    report = (folder / "report.md").read_text()
    assert "## Heads" in report
    assert report.count("(chosen)") == 1
    assert json.loads((folder / "data.json").read_text())["validation"]["videos"] == 8
    # Each accuracy is that of the classifier that is picked from the run, on the same clips.
    model, (_, params) = from_pretrained(folder), read_params(folder)
    assert isinstance(model.module, PooledClassifier)
    assert shares_right(config, "val", model, [pick(params, number) for number in (0, 1)]) == pytest.approx(top1)
    assert shares_right(config, "test", model, [model.params]) == pytest.approx([results["eval/top1"]])


@pytest.mark.slow
def test_a_run_resumes_is_scored_again_and_predicts(run, tmp_path):
    config, folder, results = run
    shutil.copytree(folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "6")  # as after a kill between the two
    again = train(config, tmp_path / "run")
    assert again["eval/top1"] == results["eval/top1"]
    jax.tree.map(np.testing.assert_array_equal, read_params(tmp_path / "run")[1], read_params(folder)[1])
    scored = evaluate(with_keys(config, {"mode": "evaluate"}), folder)
    assert {name: scored[name] for name in ("eval/top1", "eval/head")} == {
        name: results[name] for name in ("eval/top1", "eval/head")
    }
    model = from_pretrained(folder)
    video = open_source(config.data, "test")[0].video
    assert len(model.predict(video)["top"]) == 5
    assert model.labels == motion_videos.CLASSES
    shorter = from_pretrained(folder, num_frames=4)
    assert shorter.spec.num_frames == 4
    (folder / "heads.json").rename(folder / "away.json")
    with pytest.raises(WeightsError, match=r"none of the 2 heads in .* has been chosen yet: there is no heads.json"):
        from_pretrained(folder)
    (folder / "away.json").rename(folder / "heads.json")


@pytest.mark.slow
def test_probes_of_a_run_and_of_random_weights_stand_in_one_table(few, run, tmp_path, capsys):
    """probe.probes=linear,attentive: stored features for the first, a run for the second."""
    changes = {"probe__probes": ("linear", "attentive"), "probe__reductions": ("pooled",), "eval__clips": 1, **SHORT}
    config = read("probe_motion", "class,smoke", probe__backbones=("random:videomae_tiny",), eval__crops=1, **changes)
    results = probe(config, tmp_path / "probes")
    name = "probe/random-videomae_tiny"
    assert {f"{name}/pooled/linear/accuracy", f"{name}/all_tokens/attentive/accuracy"} <= set(results)
    assert json.loads((tmp_path / "probes" / "results.json").read_text()) == results
    own = json.loads((tmp_path / "probes" / "attentive" / "random-videomae_tiny" / "results.json").read_text())
    assert own["eval/top1"] == results[f"{name}/all_tokens/attentive/accuracy"]
    assert "attentive probe" in capsys.readouterr().out
    assert probe(config, tmp_path / "probes") == results  # nothing is trained again


@pytest.mark.slow
def test_weights_of_another_width_are_refused_by_name(run, tmp_path):
    config, folder, _ = run
    changes = {
        "model.name": "videomae_small",
        "init_from": str(folder),
        "model.spec": {"tubelet_size": 4, "patch_size": 8},
    }
    with pytest.raises(
        ConfigError, match=r"config.init_from=.* does not fit model.name: encoder/.*; use the model size"
    ):
        train(with_keys(config, changes), tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"optim__head_learning_rates": ()}, "optim.head_learning_rates is empty, so there is no head to train"),
        ({"task": "regression"}, "probe.probes=attentive4 predicts classes; set config.task to classification"),
        ({"optim__clip_norm": 1.0}, "optim.clip_norm=1.0 does not apply to the independent heads"),
    ],
)
def test_mode_probe_refuses_a_grid_that_cannot_be_trained(changes, sentence):
    config = read("probe_motion", "class,smoke", **({"probe__probes": ("attentive4",)} | changes))
    with pytest.raises(ConfigError, match=sentence):
        check_config(config)


def test_stored_features_are_not_for_attentive_probes():
    """`vidjax probe` reads the features of `vidjax embed`."""
    with pytest.raises(ConfigError, match=r"attentive probes are trained on videos, .*: use --config.mode=probe"):
        next(fit_all({}, ProbeConfig(probes=("linear", "attentive")), LABEL, 0, print))


def test_the_table_shows_shares_in_percent():
    chosen = {"eval/head_learning_rate": 1e-3, "eval/head_weight_decay": 0.1}
    figures = {"eval/top1": 0.5, "eval/f1_macro": 0.4375, "eval/constant_top1": 0.125}
    shown = row("mine", "attentive", chosen | figures)
    assert shown == ("mine", "all tokens", "attentive", "rate 0.001, decay 0.1", "50.0%", "43.8%", "12.5%")


@pytest.mark.slow
def test_a_run_whose_heads_read_two_clips_at_once_predicts_and_is_no_backbone(few, tmp_path):
    config = read("attentive_probe", "ssv2,smoke", data__name="motion", **SHORT)
    assert (config.data.segments, config.data.num_frames, config.eval.clips) == (2, 8, 1)
    results = train(config, tmp_path / "run")
    assert results["eval/num_scored"] == results["eval/num_expected"]
    model = from_pretrained(tmp_path / "run")
    assert (model.clips.segments, model.spec.num_frames, model.module.backbone.spec.num_frames) == (2, 8, 4)
    assert len(model.predict(open_source(config.data, "test")[0].video)["top"]) == 5
    with pytest.raises(ConfigError, match=r"a probe of 2 segments takes clips of 8 frames and cannot be given"):
        from_pretrained(tmp_path / "run", num_classes=0)
