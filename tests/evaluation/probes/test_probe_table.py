"""Reductions and the table of probes, for stores of handmade features."""

import dataclasses
import json

import numpy as np
import pytest
from feature_files import write_store
from sklearn.decomposition import PCA
from sklearn.metrics import f1_score

from vidjax.config import Config, ProbeConfig
from vidjax.data.sources.annotations import LABEL, TARGET
from vidjax.errors import ConfigError, DataError
from vidjax.evaluation.features.reductions import principal_components, reduce
from vidjax.evaluation.probes.fit_and_report import probe_features
from vidjax.evaluation.probes.table import check_pairs, fit_all, short_names

QUICK = ProbeConfig(
    reductions=("token_mean", "cls", "pca", "weighted_tokens"), components=5, widths=((16,),), dropouts=((0.1,),),
    epochs=15, batch=64, learning_rate=1e-2, C=(0.1, 1.0), folds=3,
)  # fmt: skip
CONFIG = Config(mode="probe", task="classification", probe=QUICK)


def draw(count, seed, failed=()):
    """Tokens (n 4 6) of three classes around centres, which only show in token 1."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([[0, 1, 2], rng.integers(0, 3, count - 3)])
    tokens = 0.3 * rng.normal(size=(count, 4, 6))
    tokens[:, 1] += np.random.default_rng(9).normal(size=(3, 6))[labels]
    arrays = {"tokens": tokens, "token_mean": tokens.mean(axis=1)}
    return {"arrays": arrays, "labels": labels, "names": ["left", "right", "up"], "failed": failed}


@pytest.fixture
def pair(tmp_path):
    stores = tmp_path / "hand"
    return tuple(write_store(stores / split, split, **draw(*size)) for split, size in SPLITS.items())


SPLITS = {"train": (120, 0, (5, 40)), "test": (50, 1, (3,))}


def test_every_combination_is_scored_over_all_rows_and_written_down(pair, tmp_path):
    told = []
    found = probe_features({"hand": pair}, LABEL, CONFIG, tmp_path / "out", told.append)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results == found.results
    combinations = {tuple(name.split("/")[2:4]) for name in results if name.startswith("probe/hand/")}
    some = {(reduction, probe) for reduction in ("token_mean", "pca") for probe in QUICK.probes}
    assert combinations == some | {("weighted_tokens", "mlp")}
    assert "hand has no cls, so cls is left out for it" in told
    assert (results["eval/num_scored"], results["eval/num_expected"], results["probe/num_train"]) == (49, 50, 118)

    rows = [json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows if not row["scored"]] == ["test_3"]
    assert rows[3]["reason"] == "corrupt"
    for reduction, probe in combinations:
        said = [row["predictions"][f"hand/{reduction}/{probe}"] for row in rows]
        assert said[3] is None
        assert all(type(answer) is int for row, answer in enumerate(said) if row != 3)
        right = [row["label"] == answer for row, answer in zip(rows, said, strict=True)]
        name = f"probe/hand/{reduction}/{probe}"
        assert results[f"{name}/accuracy"] == pytest.approx(np.mean(right))
        assert results[f"{name}/accuracy_scored"] == pytest.approx(np.sum(right) / 49)
        called = [3 if answer is None else answer for answer in said]  # no class: missed, but no class's prediction
        macro = f1_score([row["label"] for row in rows], called, labels=[0, 1, 2], average="macro")
        assert results[f"{name}/f1_macro"] == pytest.approx(macro)
        assert results[f"{name}/accuracy"] > results["probe/constant/accuracy"] + 0.3
    labels = [row["label"] for row in rows]
    assert results["probe/constant/accuracy"] == pytest.approx(np.bincount(labels).max() / 50)


def test_the_report_has_the_table_the_curves_and_the_searched_settings(pair, tmp_path):
    found = probe_features({"hand": pair}, LABEL, CONFIG, tmp_path, print)
    text = found.report.read_text()
    columns, rows = found.table
    assert columns == ("backbone", "reduction", "probe", "accuracy", "macro F1", "micro F1")
    assert all(f"| {' | '.join(row)} |" in text for row in rows)
    assert rows[-1][2] == "constant"
    assert rows[0] == ("hand", "token_mean", "linear", *(
        f"{found.results[f'probe/hand/token_mean/linear/{name}']:.1%}" for name in ("accuracy", "f1_macro", "f1_micro")
    ))  # fmt: skip
    assert "1 of these have no features and count as wrong" in text
    assert "## Searched: hand/pca/svm" in text
    assert "(pictures/curves_hand.png)" in text
    assert (tmp_path / "pictures" / "curves_hand.png").stat().st_size > 5000
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    of_pca = [line for line in lines if "hand/pca/mlp/val/accuracy" in line]
    assert [line["epoch"] for line in of_pca] == list(range(1, len(of_pca) + 1))
    assert {f"hand/pca/mlp/train/{name}" for name in ("loss", "accuracy", "f1_macro")} < of_pca[0].keys()


def test_regressions_are_scored_with_zero_for_rows_without_features(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 5))
    y = np.tanh(0.5 * x @ rng.normal(size=(5, 2)))
    stores = [
        write_store(tmp_path / split, split, {"token_mean": x[rows]}, targets=y[rows], names=["valence", "arousal"],
                    failed=failed)
        for split, rows, failed in (("train", slice(0, 110), ()), ("test", slice(110, 150), (0, 7)))
    ]  # fmt: skip
    config = dataclasses.replace(
        CONFIG, task="regression", probe=dataclasses.replace(QUICK, reductions=("token_mean",), C=(1.0,))
    )
    done = probe_features({"hand": tuple(stores)}, TARGET, config, tmp_path / "out", print)
    results = done.results
    assert "2 of these have no features and count with a prediction of 0." in done.report.read_text()
    rows = [json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()]
    for probe in QUICK.probes:
        found = np.array([row["predictions"][f"hand/token_mean/{probe}"] or [0, 0] for row in rows])
        a, b = found[:, 1], y[110:, 1]
        ccc = 2 * np.cov(a, b, bias=True)[0, 1] / (a.var() + b.var() + (a.mean() - b.mean()) ** 2)
        assert results[f"probe/hand/token_mean/{probe}/ccc_arousal"] == pytest.approx(ccc, abs=1e-5)
        assert results[f"probe/hand/token_mean/{probe}/ccc"] > 0.6
    assert results["probe/constant/ccc"] == 0
    assert results["probe/constant/rmse"] == pytest.approx(np.mean(y[110:].std(axis=0)))


def test_components_come_from_the_training_rows_in_one_block_or_many(pair):
    train, test = (store.array("tokens", np.flatnonzero(store.decoded)).reshape(-1, 24) for store in pair)
    oracle = PCA(4, svd_solver="full").fit(train)
    whole = principal_components("tokens", 4, *pair, seed=0)
    blocks = principal_components("tokens", 4, *pair, seed=0, block_bytes=30 * 24 * 4)
    for one, other, expected in zip(whole, blocks, map(oracle.transform, (train, test)), strict=True):
        assert one.shape == other.shape == expected.shape
        np.testing.assert_allclose(np.abs(one), np.abs(expected), atol=1e-3)  # up to signs
        assert min(abs(np.corrcoef(other[:, k], expected[:, k])[0, 1]) for k in (0, 1)) > 0.97
    again = principal_components("tokens", 4, *pair, seed=0)
    np.testing.assert_array_equal(whole[1], again[1])


def test_a_reduction_has_the_rows_with_features_and_the_shape_that_probes_take(pair):
    shapes = {name: [x.shape for x in reduce(name, QUICK, *pair, seed=0)] for name in ("tokens", "weighted_tokens")}
    assert shapes == {"tokens": [(118, 24), (49, 24)], "weighted_tokens": [(118, 4, 6), (49, 4, 6)]}


def changed(pair, tmp_path, store, **changes):
    """The pair with one of its stores rewritten."""
    split = ("train", "test")[store]
    made = write_store(tmp_path / "changed" / split, split, **draw(*SPLITS[split]) | changes)
    return (made, pair[1]) if store == 0 else (pair[0], made)


@pytest.mark.parametrize(
    ("store", "changes", "error", "message"),
    [
        (1, {"labels": np.arange(50) % 4, "names": ["left", "right", "up", "down"]}, DataError,
         r"class 'down' of 12 rows of .*/test does not occur in .*/train; leave it out"),
        (1, {"groups": [f"actor {n}" for n in range(49)] + ["train_7"]}, DataError,
         r"'train_7' is in both .*/train and .*/test \(1 such subjects\)"),
        (1, {"names": ["left", "up", "right"]}, ConfigError,
         r"class or target 1 is 'right' in .*/train, 'up' in .*/test; embed both"),
        (1, {"source": "other", "digest": "e"}, ConfigError, "these features do not belong together: backbone is hand"),
        (0, {"failed": range(120)}, DataError, "none of the 120 rows of .*/train has features"),
    ],
)  # fmt: skip
def test_stores_that_do_not_allow_a_fair_table_are_refused(pair, tmp_path, store, changes, error, message):
    with pytest.raises(error, match=message):
        check_pairs({"hand": changed(pair, tmp_path, store, **changes)}, LABEL)


def test_backbones_are_compared_on_the_same_rows_and_annotated_tasks(pair, tmp_path):
    other = changed(pair, tmp_path, 1, labels=np.arange(50) % 3)
    with pytest.raises(ConfigError, match=r"changed/test and .*hand/test have different rows"):
        check_pairs({"a": pair, "b": other}, LABEL)
    with pytest.raises(ConfigError, match="have classes but no numbers to predict"):
        check_pairs({"a": pair}, TARGET)


def test_rows_of_one_class_are_refused(tmp_path):
    stores = [write_store(tmp_path / split, split, {"cls": np.ones((9, 2))}, names=["up"]) for split in SPLITS]
    with pytest.raises(DataError, match=r"all rows of .*/train have class 'up'; add rows of other classes"):
        check_pairs({"a": tuple(stores)}, LABEL)


def test_rows_without_classes_are_refused(tmp_path):
    stores = [write_store(tmp_path / split, split, {"cls": np.ones((9, 2))}) for split in SPLITS]
    for store in stores:
        store.header.data["annotation"] = ""  # as `vidjax embed` writes it for videos without classes
    with pytest.raises(ConfigError, match=r"the rows of .*/train have no classes; embed videos from class folders"):
        check_pairs({"a": tuple(stores)}, LABEL)


def test_more_components_than_rows_are_refused(pair):
    config = dataclasses.replace(QUICK, reductions=("pca",), components=30)
    with pytest.raises(ConfigError, match="components=30 for 118 training rows of 24 values; choose 1 to 24"):
        list(fit_all({"hand": pair}, config, LABEL, 0, print))


def test_backbones_get_the_shortest_names_that_tell_them_apart():
    assert short_names(["MCG-NJU/videomae-base", "random:videomae_tiny"]) == ("videomae-base", "random-videomae_tiny")
    assert short_names(["runs/a/pretrain/", "runs/b/pretrain"]) == ("a-pretrain", "b-pretrain")
    assert ".." not in short_names([".."])  # which would be a folder above the run's
    for again in ("x/y", "./x/y/"):
        with pytest.raises(ConfigError, match="'x/y' is given twice"):
            short_names(["x/y", again])
