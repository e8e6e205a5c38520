"""CCC, PCC, RMSE, R2 and SAGR against their equations, scipy and scikit-learn, and the figures of the constant."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import r2_score

from vidjax.evaluation.metrics.regression import SQUARES, agreement, summarise_regression


def lin(x, y):
    """Lin's coefficient as in its paper, with Pearson's rho from scipy."""
    rho = stats.pearsonr(x, y)[0]
    return 2 * rho * x.std() * y.std() / (x.std() ** 2 + y.std() ** 2 + (x.mean() - y.mean()) ** 2)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.3, 0.2), (-1.5, 0.1), (0.01, -0.4)])
def test_figures_agree_with_their_equations(scale, shift):
    rng = np.random.default_rng(0)
    target = rng.uniform(-1, 1, 200)
    prediction = scale * target + shift + 0.1 * rng.normal(size=200)
    found = agreement(prediction, target)
    assert found["ccc"] == pytest.approx(lin(prediction, target))
    assert found["pcc"] == pytest.approx(stats.pearsonr(prediction, target)[0])
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean((prediction - target) ** 2)))
    assert found["mse"] == pytest.approx(np.mean((prediction - target) ** 2))
    assert found["r2"] == pytest.approx(r2_score(target, prediction))
    assert found["sagr"] == pytest.approx(np.mean((prediction > 0) == (target > 0)))


def test_a_perfect_prediction_and_a_constant():
    target = np.array([-1.0, 0.5, 0.25, 0.75])
    assert agreement(target, target) == pytest.approx({"ccc": 1, "pcc": 1, "mse": 0, "rmse": 0, "r2": 1, "sagr": 1})
    constant = agreement(np.full(4, 0.3), target)
    assert (constant["ccc"], constant["pcc"], constant["sagr"]) == (0, 0, 0.75)
    assert agreement(np.zeros(3), np.zeros(3))["ccc"] == agreement(np.ones(3), np.zeros(3))["r2"] == 0


def test_rows_are_pooled_and_compared_with_the_constant():
    rng = np.random.default_rng(1)
    targets = rng.uniform(-1, 1, (50, 2))
    predictions = np.clip(targets + 0.2 * rng.normal(size=(50, 2)), -1, 1)
    scored = np.ones(50, bool)
    results = summarise_regression(predictions, targets, scored, ("valence", "arousal"))
    each = [lin(predictions[:, k], targets[:, k]) for k in (0, 1)]
    assert results["eval/ccc_valence"] == pytest.approx(each[0])
    assert results["eval/ccc"] == pytest.approx(np.mean(each))
    assert results["eval/constant_ccc"] == pytest.approx(0, abs=1e-12)
    assert results["eval/constant_rmse"] == pytest.approx(targets.std(axis=0).mean())


def test_a_row_that_cannot_be_scored_counts_as_zero():
    targets = np.array([[0.5], [-0.5], [0.9]])
    scored = np.array([True, True, False])
    results = summarise_regression(np.array([[0.5], [-0.5], [0.9]]), targets, scored)
    assert results["eval/ccc"] == pytest.approx(lin(np.array([0.5, -0.5, 0.0]), targets[:, 0]))
    assert (results["eval/num_scored"], results["eval/num_expected"]) == (2, 3)


def test_numbers_of_any_size_are_scored_by_their_squared_errors():
    """By hand: targets 1, 3, 8 have a variance of 26/3; errors of 1, 1 and 0 have a mean square of 2/3."""
    targets = np.array([[1.0], [3.0], [8.0]])
    predictions = np.array([[2.0], [2.0], [8.0]])
    results = summarise_regression(predictions, targets, np.ones(3, bool), ("size",), SQUARES)
    assert results["eval/mse"] == results["eval/mse_size"] == pytest.approx(2 / 3)
    assert results["eval/r2"] == pytest.approx(1 - 2 / 26)
    assert (results["eval/constant_mse"], results["eval/constant_r2"]) == pytest.approx((26 / 3, 0))
    assert "eval/ccc" not in results
