"""Verbs and evaluation read runs and features in a bucket, and write there, with the results of a disk."""

import json

import bucket
import numpy as np
import pytest
from random_runs import write_run
from videos import encode, moving_texture

from vidjax.cli import main
from vidjax.evaluation.features.store import FeatureStore
from vidjax.files import located
from vidjax.main import main as run_experiment
from vidjax.main import read_config

CONFIG = (
    "--config=finetune:smoke", "--config.data.name=folder", "--config.data.global_batch=4", "--config.eval.clips=1",
    "--config.eval.crops=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Six training videos of two classes, and four for validation."""
    root = tmp_path_factory.mktemp("videos")
    for split, count in (("train", 6), ("val", 4)):
        for number in range(count):
            path = root / split / "ab"[number % 2] / f"{number}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(moving_texture(20, 48, 64, seed=number + 50 * (split == "val"))))
    return root


@pytest.fixture(scope="module")
def places(videos, tmp_path_factory):
    """The same random classifier on a disk and in a bucket, each in a folder `run`."""
    here = tmp_path_factory.mktemp("disk")
    config = read_config([*CONFIG, f"--config.data.root={videos}"])
    with bucket.emulated() as address:
        there = located(address) / "runs"
        for place in (here, there):
            write_run(place / "run", config, 2, ("a", "b"))
        yield here, there


def test_a_run_in_a_bucket_is_evaluated_there(places, videos):
    found = []
    for place in places:
        words = (*CONFIG, f"--config.data.root={videos}", "--config.mode=evaluate", f"--workdir={place / 'run'}")
        assert run_experiment(["vidjax", *words]) == 0
        found.append(json.loads((place / "run" / "results.json").read_text()))
    assert found[0] == found[1]
    assert found[0]["eval/num_scored"] == 4


def test_a_run_in_a_bucket_predicts_what_its_copy_does(places, videos, capsys):
    answers = []
    for place in places:
        assert main(["predict", str(videos / "val/a/0.mp4"), "--model", str(place / "run"), "--json"]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0] == answers[1]


def test_features_are_computed_into_a_bucket_and_probed_there(places, videos):
    scores, stores = [], []
    for place in places:
        for split in ("train", "val"):
            words = ["--data", str(videos), "--split", split, "--out", str(place / split)]
            assert main(["embed", "--model", str(place / "run"), *words]) == 0
        words = ["--train", str(place / "train"), "--test", str(place / "val"), "--out", str(place / "probe")]
        assert main(["probe", *words, "--probes", "knn", "--k", "1"]) == 0
        stores.append(FeatureStore.open(place / "val").array("pooled"))
        found = json.loads((place / "probe" / "results.json").read_text())
        scores.append([value for name, value in found.items() if name.endswith("/accuracy")])
        assert (place / "probe" / "report.md").exists()
    np.testing.assert_array_equal(*stores)
    assert scores[0] == scores[1] != []


@pytest.mark.slow
def test_a_run_begins_from_the_parameters_of_one_in_a_bucket(places, videos, tmp_path):
    """The loss of the first step is that of these parameters."""
    here, there = places
    found = []
    for place, name in ((here, tmp_path / "run"), (there, there / "next")):
        words = (*CONFIG, f"--config.data.root={videos}", "--config.train.steps=1")
        assert run_experiment(["vidjax", *words, f"--config.init_from={place / 'run'}", f"--workdir={name}"]) == 0
        found.append(json.loads((name / "metrics.jsonl").read_text().splitlines()[0])["train/loss"])
    assert found[0] == found[1]
