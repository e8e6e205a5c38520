"""Probes compared with scikit-learn, and searches that keep subjects together."""

import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import SVC, SVR

from vidjax.config import ProbeConfig
from vidjax.data.sources.annotations import LABEL, TARGET
from vidjax.errors import ConfigError
from vidjax.evaluation.probes.cross_validation import TrainingRows, check_settings, fit_probe, mean_ccc
from vidjax.evaluation.probes.estimators import TokenScaler

QUICK = ProbeConfig(widths=((16,),), dropouts=((0.1,),), epochs=30, batch=64, learning_rate=1e-2, folds=3)


@pytest.fixture
def blobs():
    """Three classes around centres, with features of very different scales; 200 training rows and 100 others."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    x = (rng.normal(size=(3, 5))[labels] + 0.7 * rng.normal(size=(300, 5))) * [1, 100, 0.01, 3, 5] + 2
    return x.astype(np.float32), labels


@pytest.fixture
def numbers():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 5)).astype(np.float32)
    return x, np.tanh(0.4 * x @ rng.normal(size=(5, 2)) + 0.05 * rng.normal(size=(300, 2)))


def by_subject(y):
    return np.arange(len(y)) // 4


def first(x, y):
    """The 200 training rows, four per subject."""
    return TrainingRows(x[:200], y[:200], by_subject(y[:200]))


def exp_similarity(distances):
    return np.exp((1 - distances) / 0.07)


def test_classifiers_agree_with_scikit_learn_on_features_standardised_by_hand(blobs):
    x, y = blobs
    scaled = (x - x[:200].mean(axis=0)) / x[:200].std(axis=0)
    oracles = {
        "linear": (LogisticRegression(max_iter=2000), scaled),
        "svm": (SVC(), scaled),
        "knn": (KNeighborsClassifier(5, metric="cosine", weights=exp_similarity), x),
    }
    for name, (oracle, seen) in oracles.items():
        fitted = fit_probe(name, first(x, y), QUICK, LABEL, 0)
        found, expected = fitted.pipeline.predict(x[200:]), oracle.fit(seen[:200], y[:200]).predict(seen[200:])
        assert (found == expected).mean() >= 0.99, name  # float32 against float64 at a border
        assert fitted.points == fitted.curves == ()
    mlp = fit_probe("mlp", first(x, y), QUICK, LABEL, 0)
    assert (mlp.pipeline.predict(x[200:]) == y[200:]).mean() > 0.8
    assert len(mlp.curves) == mlp.curves[-1]["epoch"] > 5


def test_regressors_agree_with_scikit_learn(numbers):
    x, y = numbers
    scaled = (x - x[:200].mean(axis=0)) / x[:200].std(axis=0)
    svr = np.stack([SVR(kernel="linear", C=0.5).fit(scaled[:200], y[:200, k]).predict(scaled[200:]) for k in (0, 1)], 1)
    nearest = KNeighborsRegressor(7, metric="cosine", weights=exp_similarity).fit(x[:200], y[:200])
    expected = {
        "linear": Ridge(2.0).fit(scaled[:200], y[:200]).predict(scaled[200:]),
        "svm": svr,
        "knn": nearest.predict(x[200:]),
    }
    config = dataclasses.replace(QUICK, C=(0.5,), kernel="linear", k=7)
    for name, wanted in expected.items():
        fitted = fit_probe(name, first(x, y), config, TARGET, 0)
        np.testing.assert_allclose(fitted.pipeline.predict(x[200:]), wanted, atol=5e-3)  # libsvm stops at 1e-3
    mlp = fit_probe("mlp", first(x, y), config, TARGET, 0)
    assert mean_ccc(y[200:], mlp.pipeline.predict(x[200:])) > 0.9


def test_a_search_keeps_subjects_together_and_reports_its_points():
    """Features tell only the subject, so a fair search can find nothing, and an unfair search would find everything."""
    rng = np.random.default_rng(0)
    subject = np.repeat(np.arange(40), 8)
    x = (3 * rng.normal(size=(40, 30))[subject] + 0.1 * rng.normal(size=(320, 30))).astype(np.float32)
    y = rng.permutation(np.arange(40) % 2)[subject]
    config = dataclasses.replace(QUICK, C=(1.0, 10.0))
    mixed = fit_probe("svm", TrainingRows(x, y, np.arange(320)), config, LABEL, 0)
    apart = fit_probe("svm", TrainingRows(x, y, subject), config, LABEL, 0)
    assert [point["C"] for point in apart.points] == [1.0, 10.0]
    assert min(point["mean"] for point in mixed.points) > 0.99
    assert max(point["mean"] for point in apart.points) < 0.7


def test_the_mlp_grid_pairs_widths_with_as_many_dropouts_and_refits_the_best(numbers):
    x, y = numbers
    config = dataclasses.replace(
        QUICK, widths=((16,), (16, 8)), dropouts=((0.0,), (0.95,), (0.1, 0.1)), validation=0.0, epochs=20
    )
    fitted = fit_probe("mlp", TrainingRows(x, y, by_subject(y)), config, TARGET, 0)
    assert [(point["widths"], point["dropouts"]) for point in fitted.points] == [
        ((16,), (0.0,)), ((16,), (0.95,)), ((16, 8), (0.1, 0.1)),
    ]  # fmt: skip
    best = max(fitted.points, key=lambda point: point["mean"])
    assert fitted.settings == {name: best[name] for name in ("widths", "dropouts")}
    assert best["dropouts"] != (0.95,)
    again = fit_probe(
        "mlp", TrainingRows(x, y, by_subject(y)),
        dataclasses.replace(config, widths=(best["widths"],), dropouts=(best["dropouts"],)), TARGET, 0,
    )  # fmt: skip
    np.testing.assert_allclose(fitted.pipeline.predict(x), again.pipeline.predict(x), atol=1e-6)


def test_tokens_are_standardised_by_channel_in_their_own_precision():
    tokens = (np.random.default_rng(0).normal(size=(50, 7, 3)) * [1, 10, 0.1] + [5, 0, 1]).astype(np.float16)
    found = TokenScaler().fit(tokens[:30]).transform(tokens)
    flat = tokens[:30].reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(found, (tokens - flat.mean(axis=0)) / flat.std(axis=0), atol=0.02)
    assert found.dtype == np.float16


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("knn", {"k": 13}, "k=13 neighbours among 12 labelled videos; choose 1 to 12"),
        ("linear", {"C": (1.0, 2.0), "folds": 4}, "probe.folds=4 for 3 subjects; choose 2 to 3"),
        (
            "mlp",
            {"widths": ((8, 4),)},
            r"probe.dropouts has no entry of 2 rates, one per hidden layer of probe.widths=\(8, 4\)",
        ),
    ],
)
def test_too_few_rows_and_inconsistent_settings_are_refused(name, change, message):
    x, y = np.zeros((12, 2), np.float32), np.arange(12) % 2
    with pytest.raises(ConfigError, match=message):
        fit_probe(name, TrainingRows(x, y, by_subject(y)), dataclasses.replace(QUICK, **change), LABEL, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"C": (1.0, 0.0)}, "config.probe.C has 0, which must be above 0"),
        ({"C": ()}, "config.probe.C is empty; give at least one"),
        ({"widths": ((8,), (8, 0))}, "config.probe.widths has 0, which must be above 0"),
        ({"dropouts": ((0.5, 1.5),)}, "config.probe.dropouts has 1.5, which must be at least 0 and below 1"),
        ({"validation": 1.0}, "config.probe.validation has 1, which must be at least 0 and below 1"),
        ({"temperature": 0.0}, "config.probe.temperature has 0, which must be above 0"),
        ({"patience": -1}, "config.probe.patience has -1, which must be at least 0"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    check_settings(QUICK)
    with pytest.raises(ConfigError, match=message):
        check_settings(dataclasses.replace(QUICK, **change))


def test_classes_with_fewer_rows_than_folds_cannot_be_searched():
    x, y = np.random.default_rng(0).normal(size=(12, 2)), np.arange(12) // 2
    config = dataclasses.replace(QUICK, C=(1.0, 2.0), folds=4)
    with pytest.raises(ConfigError, match=r"svm cannot be searched in probe.folds=4 folds: n_splits=4 cannot be"):
        fit_probe("svm", TrainingRows(x, y, np.arange(12)), config, LABEL, 0)


def test_a_search_among_videos_of_one_subject_is_refused_with_a_remedy():
    x, y, one = np.zeros((12, 2), np.float32), np.arange(12) % 2, np.zeros(12, int)
    config = dataclasses.replace(QUICK, C=(1.0, 2.0), folds=4)
    with pytest.raises(ConfigError, match="at least 2 subjects, and the training rows have 1; give a single setting"):
        fit_probe("linear", TrainingRows(x, y, one), config, LABEL, 0)
