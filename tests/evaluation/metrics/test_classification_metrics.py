"""Metrics against scikit-learn, and the stated treatment of ties and absent classes."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix as sklearn_confusion
from sklearn.metrics import precision_recall_fscore_support, recall_score, top_k_accuracy_score

from vidjax.evaluation.metrics import classification as metrics

CLASSES = 11


@pytest.fixture
def scored():
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.arange(CLASSES), rng.integers(0, CLASSES, 300)])
    scores = rng.normal(size=(len(labels), CLASSES)).astype(np.float32)
    scores[np.arange(len(labels)), labels] += 1.0
    return scores, labels


@pytest.mark.parametrize("k", [1, 2, 5, CLASSES - 1])
def test_top_k_accuracy_equals_scikit_learn(scored, k):
    scores, labels = scored
    ours = metrics.top_k_hits(scores, labels, k).mean()
    assert ours == pytest.approx(top_k_accuracy_score(labels, scores, k=k, labels=range(CLASSES)))
    assert 0 < ours < 1


def test_top_five_of_four_classes_is_always_right():
    scores, labels = np.random.default_rng(0).normal(size=(6, 4)), np.array([0, 1, 2, 3, 0, 1])
    assert metrics.top_k(scores, 5).shape == (6, 4)
    assert metrics.top_k_hits(scores, labels, 5).all()


def test_ties_go_to_the_lower_class():
    scores = np.array([[1.0, 1.0, 1.0], [0.0, 2.0, 2.0], [3.0, 0.0, 3.0]])
    np.testing.assert_array_equal(metrics.top_k(scores, 2), [[0, 1], [1, 2], [0, 2]])


def test_confusion_matrix_equals_scikit_learn(scored):
    scores, labels = scored
    predictions = metrics.top_k(scores, 1)[:, 0]
    ours = metrics.confusion_matrix(labels, predictions, CLASSES)
    np.testing.assert_array_equal(ours, sklearn_confusion(labels, predictions, labels=range(CLASSES)))


def test_per_class_accuracy_equals_recall_and_is_nan_for_absent_classes(scored):
    scores, labels = scored
    predictions = metrics.top_k(scores, 1)[:, 0]
    ours = metrics.per_class_accuracy(labels, predictions == labels, CLASSES + 1)
    np.testing.assert_allclose(ours[:-1], recall_score(labels, predictions, average=None))
    assert np.isnan(ours[-1])


@pytest.mark.parametrize("average", [None, "macro", "micro"])
def test_precision_recall_and_f1_equal_scikit_learn(scored, average):
    scores, labels = scored
    predictions = metrics.top_k(scores, 1)[:, 0]
    keep = (labels != 3) & (predictions != 3)  # a class that neither occurs nor is predicted
    predictions[predictions == 5] = 6  # a class that occurs but is never predicted
    labels, predictions = labels[keep], predictions[keep]
    found = metrics.precision_recall_f1(metrics.confusion_matrix(labels, predictions, CLASSES), np.zeros(CLASSES, int))
    expected = precision_recall_fscore_support(labels, predictions, average=average, zero_division=0)[:3]
    for name, wanted in zip(("precision", "recall", "f1"), expected, strict=True):
        if average:
            assert found[f"{name}_{average}"] == pytest.approx(wanted)
        else:
            np.testing.assert_allclose(np.delete(found[name], 3), wanted)
            assert np.isnan(found[name][3])


def test_with_everything_scored_micro_figures_are_the_accuracy(scored):
    scores, labels = scored
    predictions = metrics.top_k(scores, 1)[:, 0]
    found = metrics.precision_recall_f1(metrics.confusion_matrix(labels, predictions, CLASSES), np.zeros(CLASSES, int))
    accuracy = (predictions == labels).mean()
    assert [found[f"{name}_micro"] for name in ("precision", "recall", "f1")] == pytest.approx([accuracy] * 3)


def test_unscored_examples_are_missed_but_not_predicted():
    confusion = np.array([[3, 1], [0, 4]])
    found = metrics.precision_recall_f1(confusion, np.array([4, 0]))
    assert found["precision"].tolist() == [1.0, 0.8]
    assert found["recall"].tolist() == [3 / 8, 1.0]
    assert (found["precision_micro"], found["recall_micro"]) == (7 / 8, 7 / 12)
