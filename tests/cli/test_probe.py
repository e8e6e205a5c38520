"""`vidjax probe`: a table from stored features, and messages for user errors."""

import json

import numpy as np
import pytest
from feature_files import write_store

from vidjax.cli import main


def blobs(count, seed):
    labels = np.arange(count) % 3
    return np.random.default_rng(9).normal(size=(3, 6))[labels] + 0.2 * np.random.default_rng(seed).normal(
        size=(count, 6)
    ), labels


@pytest.fixture
def folders(tmp_path):
    """Features of two backbones for the same rows; the second carries no information."""
    for source, scale in (("runs/good", 1.0), ("runs/bad", 0.0)):
        for split, count, failed in (("train", 60, ()), ("val", 20, (4,))):
            x, labels = blobs(count, count)
            x = scale * x + (1 - scale) * np.random.default_rng(count).normal(size=x.shape)
            write_store(
                tmp_path / source / split, split, {"token_mean": x, "pooled": x[:, :4]}, labels=labels, failed=failed,
                source=source, digest=source,
            )  # fmt: skip
    return tmp_path / "runs"


def probe(folders, *words, out="out"):
    train, val = ([str(folders / name / split) for name in ("good", "bad")] for split in ("train", "val"))
    return main(["probe", "--train", *train, "--test", *val, "--out", str(folders / out), *words])


def test_one_table_of_backbones_reductions_and_probes(folders, capsys):
    assert probe(folders, "--probes", "linear,knn", "--C", "0.1,1", "--folds", "3") == 3  # a row has no features
    shown = capsys.readouterr()
    rows = [line.split() for line in shown.out.splitlines() if line.strip()]
    assert rows[0] == ["backbone", "reduction", "probe", "accuracy", "macro", "F1", "micro", "F1"]
    names = [tuple(row[:3]) for row in rows if row[0] in ("good", "bad")]
    assert names == [
        (backbone, array, probe)
        for backbone in ("good", "bad") for array in ("token_mean", "pooled") for probe in ("linear", "knn")
    ]  # fmt: skip
    assert rows[-1] == ["constant", "35.0%", "17.3%", "35.0%"]
    assert f"report: {folders / 'out' / 'report.md'}" in shown.err
    results = json.loads((folders / "out" / "results.json").read_text())
    assert results["probe/good/token_mean/linear/accuracy"] == pytest.approx(19 / 20)
    assert results["probe/bad/token_mean/linear/accuracy"] < 0.7
    report = (folders / "out" / "report.md").read_text()
    assert "## Searched: good/token_mean/linear" in report
    assert "macro F1 over the folds" in report


def test_json_and_the_options_of_the_mlp(folders, capsys):
    words = ["--reductions", "pooled", "--probes", "mlp", "--widths", "8;16,8", "--dropouts", "0;0.1,0.1"]
    assert probe(folders, *words, "--epochs", "2", "--folds", "2", "--learning-rate", "1e-2", "--json") == 3
    results = json.loads(capsys.readouterr().out)
    assert results == json.loads((folders / "out" / "results.json").read_text())
    assert [name for name in results if name.endswith("mlp/accuracy")] == [
        "probe/good/pooled/mlp/accuracy", "probe/bad/pooled/mlp/accuracy",
    ]  # fmt: skip
    report = (folders / "out" / "report.md").read_text()
    assert "| (0.1, 0.1) | (16, 8) |" in report
    assert "probe.learning_rate = 0.01" in report


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--reductions", "token_meen"], "config.probe.reductions='token_meen' is unknown; did you mean 'token_mean'?"),
        (["--epochs", "many"], "--epochs='many' is not a number or list of numbers"),
        (["--C", "1,0"], "config.probe.C has 0, which must be above 0"),
        (["--epochs", "1.5"], "config.probe.epochs=1.5 must be an integer"),
        (["--task", "regression"], "have classes but no numbers to predict"),
        (["--probes", "knn", "--k", "61"], "k=61 neighbours among 60 labelled videos; choose 1 to 60"),
        (["--test", "nowhere"], "2 folders of --train and 1 of --test; give pairs"),
        (["--test", "nowhere", "there"], "nowhere holds no features, since it has no features.json"),
    ],
)
def test_a_mistake_is_one_sentence(folders, words, sentence, capsys):
    assert probe(folders, *words) == 2
    shown = capsys.readouterr().err.splitlines()
    assert sentence in shown[-1]
    assert shown[-1].startswith("vidjax: ")
