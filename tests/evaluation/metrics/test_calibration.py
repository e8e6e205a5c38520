"""Expected calibration error: by hand, and against the paper's sum in NumPy and scikit-learn's curve."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from vidjax.data.clips.recipe import ClipRecipe
from vidjax.evaluation.classification import calibration, summarise
from vidjax.evaluation.metrics.calibration import reliability
from vidjax.evaluation.result_files import VideoScores


def test_a_case_by_hand():
    """Two bins. (0, 0.5]: 0.4 wrong, 0.5 right; accuracy 0.5, confidence 0.45. (0.5, 1]: 0.9, 1.0 right, 0.8 wrong."""
    found = reliability(np.array([0.4, 0.5, 0.9, 1.0, 0.8]), np.array([False, True, True, True, False]), bins=2)
    np.testing.assert_array_equal(found.counts, [2, 3])
    np.testing.assert_allclose(found.accuracy, [0.5, 2 / 3])
    np.testing.assert_allclose(found.confidence, [0.45, 0.9])
    assert found.ece == pytest.approx(2 / 5 * 0.05 + 3 / 5 * (0.9 - 2 / 3))


def test_the_sum_of_the_paper_over_fifteen_bins():
    rng = np.random.default_rng(0)
    confidence = rng.beta(4, 2, 5000)
    right = rng.random(5000) < confidence**2
    ece = 0.0
    for m in range(1, 16):  # I_m = ((m - 1) / M, m / M], equations 2 and 3
        inside = ((m - 1) / 15 < confidence) & (confidence <= m / 15)
        if inside.any():
            ece += inside.sum() / 5000 * abs(right[inside].mean() - confidence[inside].mean())
    found = reliability(confidence, right)
    assert found.ece == pytest.approx(ece)
    shares, means = calibration_curve(right, confidence, n_bins=15)
    filled = found.counts > 0
    np.testing.assert_allclose(found.accuracy[filled], shares)
    np.testing.assert_allclose(found.confidence[filled], means)


def test_a_calibrated_classifier_has_almost_no_error():
    rng = np.random.default_rng(0)
    confidence = rng.random(200_000)
    assert reliability(confidence, rng.random(200_000) < confidence).ece < 0.01


def test_calibration_uses_the_probabilities_of_predict_and_skips_unscored_videos():
    """The mean logit of two views is [log 3, 0]: three to one for the first class."""
    scores = np.array([[2 * np.log(3), 0], [2 * np.log(3), 0], [0, 0]], np.float32)
    result = VideoScores(scores, np.array([0, 1, 1]), np.array([True, True, False]), ("", "", "truncated"))
    found = calibration(result, ClipRecipe(merge="sum_logits", clips=2))
    assert found.counts.sum() == 2
    assert summarise(result, ClipRecipe(merge="sum_logits", clips=2))["eval/ece"] == pytest.approx(0.25)
    assert "eval/ece" not in summarise(result, ClipRecipe(merge="max", clips=2))
