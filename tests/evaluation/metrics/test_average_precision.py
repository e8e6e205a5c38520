"""Mean average precision against scikit-learn and by hand; windows merged to videos and to moments."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from vidjax.evaluation.metrics.average_precision import (
    average_precision,
    labels_at,
    mean_average_precision,
    merge_windows,
    moments_of,
    scores_at,
)


def official(confidences, labels):
    """`THUMOSeventclspr` of Charades' scripts: the mean of the precision at the rank of every positive."""
    ranked = [label for _, label in sorted(zip(-confidences, labels, strict=True), key=lambda pair: pair[0])]
    total, positives = 0.0, 0
    for rank, label in enumerate(ranked, 1):
        if label:
            positives += 1
            total += positives / rank
    return total / positives


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_equals_sklearn_and_the_official_script(seed):
    rng = np.random.default_rng(seed)
    labels = rng.random(60) < 0.2
    labels[0] = True
    scores = rng.normal(size=60)
    assert average_precision(scores, labels) == pytest.approx(average_precision_score(labels, scores))
    assert average_precision(scores, labels) == pytest.approx(official(scores, labels))
    tied = np.round(scores)
    assert average_precision(tied, labels) == pytest.approx(average_precision_score(labels, tied))


def test_average_precision_by_hand():
    # Ranked: yes, no, yes, no -> (1/1 + 2/3) / 2
    assert average_precision(np.array([0.9, 0.1, 0.8, 0.3]), np.array([1, 0, 0, 1], bool)) == pytest.approx(5 / 6)
    assert average_precision(np.full(8, 0.5), np.arange(8) < 2) == pytest.approx(0.25)  # a constant: the prevalence


def test_classes_without_positives_are_left_out():
    scores = np.array([[0.9, 0.2, 0.1], [0.1, 0.7, 0.3], [0.3, 0.1, 0.2]])
    positives = np.array([[1, 0, 0], [0, 0, 0], [0, 0, 1]], bool)
    mean, each = mean_average_precision(scores, positives)
    assert np.isnan(each[1])
    assert each[0] == 1.0
    assert each[2] == pytest.approx(1 / 2)
    assert mean == pytest.approx(0.75)
    assert np.isnan(mean_average_precision(scores, np.zeros((3, 3), bool))[0])


def test_localisation_uses_25_moments_the_last_before_the_end():
    times = moments_of(50.0)
    assert (len(times), times[0], times[1], times[-1]) == (25, 0.0, 2.0, 48.0)
    # An interval includes both ends; one past the end counts while inside the video, a reversed one nowhere.
    labels = labels_at([(2.0, 4.0, 0), (46.0, 99.0, 1), (9.0, 3.0, 2), (60.0, 70.0, 2)], times, 3)
    assert np.flatnonzero(labels[:, 0]).tolist() == [1, 2]
    assert np.flatnonzero(labels[:, 1]).tolist() == [23, 24]
    assert not labels[:, 2].any()


def test_windows_over_a_moment_are_merged_or_else_the_nearest_is_used():
    windows = np.array([[0.0, 2.0], [1.0, 3.0], [5.0, 7.0]])
    scores = np.array([[0.2, 0.8], [0.6, 0.4], [0.1, 0.0]])
    times = np.array([0.5, 1.5, 3.5, 4.5, 9.0])
    np.testing.assert_allclose(
        scores_at(times, windows, scores, "max"), [[0.2, 0.8], [0.6, 0.8], [0.6, 0.4], [0.1, 0.0], [0.1, 0.0]]
    )
    np.testing.assert_allclose(scores_at(times[1:2], windows, scores, "mean"), [[0.4, 0.6]])
    np.testing.assert_allclose(merge_windows(scores, "mean"), [0.3, 0.4])
    np.testing.assert_allclose(merge_windows(scores, "max"), [0.6, 0.8])
