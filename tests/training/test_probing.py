"""mode=probe from videos to the table."""

import dataclasses
import json

import pytest
from test_jobs import read

from vidjax.config import DataConfig
from vidjax.data import motion_videos
from vidjax.data.datasets import motion
from vidjax.errors import ConfigError
from vidjax.evaluation.features import extraction
from vidjax.training import probing, train
from vidjax.training.probing import probe
from vidjax.weights.backbones import load_backbone

SHORT = {"probe__epochs": 3, "probe__components": 4, "probe__k": 3}


@pytest.fixture
def few_videos(monkeypatch, tmp_path):
    made = motion_videos.prepare(
        str(tmp_path / "few"), motion_videos.MotionSpec(train_videos=24, test_videos=0, val_videos=8)
    )
    monkeypatch.setattr(motion, "write_videos", lambda folder, split: made)


def test_both_splits_are_embedded_once_and_probed_for_each_backbone(tmp_path, few_videos, monkeypatch, capsys):
    backbones = ("random:videomae_tiny", "random:timesformer_tiny")
    config = read(
        "probe_motion",
        "smoke",
        probe__backbones=backbones,
        probe__reductions=("cls", "pca", "weighted_tokens"),
        **SHORT,
    )
    results = probe(config, tmp_path / "run")
    shown = capsys.readouterr()
    assert "random-videomae_tiny has no cls, so cls is left out for it" in shown.err
    names = {tuple(name.split("/")[1:3]) for name in results if name.startswith("probe/random")}
    assert names == {
        ("random-videomae_tiny", "pca"), ("random-videomae_tiny", "weighted_tokens"),
        ("random-timesformer_tiny", "pca"), ("random-timesformer_tiny", "weighted_tokens"),
        ("random-timesformer_tiny", "cls"),
    }  # fmt: skip
    assert (results["eval/num_scored"], results["probe/num_train"]) == (8, 24)
    assert "constant" in shown.out
    written = json.loads((tmp_path / "run" / "config.json").read_text())
    assert written["probe"] == json.loads(json.dumps(dataclasses.asdict(config.probe)))

    def fail(*arguments, **options):
        raise AssertionError("a video was asked for")

    monkeypatch.setattr(extraction, "eval_batches", fail)
    assert probe(config, tmp_path / "run") == results
    assert "random-timesformer_tiny/val: 0 of 8 rows are new" in capsys.readouterr().err


def test_a_backbone_with_fewer_frames_sees_as_many_seconds(monkeypatch):
    backbone = load_backbone("random:videomae_tiny", num_frames=8, image_size=16)
    monkeypatch.setattr(probing, "load_backbone", lambda source: backbone)
    recipe = probing.open_backbone("run", DataConfig(num_frames=16, fps=4.0)).clips
    assert (recipe.num_frames, recipe.fps, recipe.seconds) == (8, 2.0, 4.0)
    assert probing.open_backbone("run", DataConfig(num_frames=16)).clips.fps == 0


def test_what_cannot_be_probed_is_refused_before_anything_is_embedded(tmp_path, few_videos):
    for changes, message in (
        ({"task": "captioning"}, "config.task='captioning' learns from captions, and probes predict a label"),
        ({"probe__backbones": ()}, r"config\.probe\.backbones is empty"),
        ({"probe__reductions": ("cls",)}, "random:videomae_tiny has none of the features that config.probe.reductions"),
    ):
        with pytest.raises(ConfigError, match=message):
            probe(read("probe_motion", "smoke", **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("size", "figure"), [("velocity", "ccc"), ("class", "accuracy")])
def test_probes_of_the_smoke_run_are_well_above_the_constant(size, figure, tmp_path):
    results = probe(read("probe_motion", f"{size},smoke"), tmp_path)
    constant = results[f"probe/constant/{figure}"]
    found = {name: value for name, value in results.items() if name.endswith(f"/{figure}") and "constant" not in name}
    assert len(found) == 6
    for name, value in found.items():
        assert value > constant + 0.15, name
    assert max(found.values()) > constant + 0.4
    assert "| constant |" in (tmp_path / "report.md").read_text()
    assert len(list((tmp_path / "pictures").glob("curves_*.png"))) == 1


@pytest.mark.slow
def test_every_probe_of_a_trained_backbone_is_well_above_the_constant(tmp_path):
    """A backbone trained to classify eight motions, probed for velocities, on which it was never trained."""
    train(read("motion_families", "videomae", train__steps=600, train__checkpoint_every=600), tmp_path / "trained")
    config = read(
        "probe_motion", "velocity", probe__backbones=(str(tmp_path / "trained"),), probe__epochs=60,
        probe__reductions=("token_mean", "pca", "weighted_tokens"),
    )  # fmt: skip
    results = probe(config, tmp_path / "probes")
    found = {name: value for name, value in results.items() if name.endswith("/ccc") and "/constant/" not in name}
    assert len(found) == 9
    for name, value in found.items():
        assert value > results["probe/constant/ccc"] + 0.2, name
