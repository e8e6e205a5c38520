"""Nearest neighbours against scikit-learn's, and by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from vidjax.errors import ConfigError
from vidjax.evaluation.probes.knn import knn_accuracy, knn_classify


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (5, 0.07), (20, 0.5)])
def test_labels_equal_those_of_scikit_learn(k, temperature):
    from sklearn.neighbors import KNeighborsClassifier

    rng = np.random.default_rng(0)
    centres = rng.normal(size=(7, 12))
    labels, wanted = rng.integers(0, 7, 300), rng.integers(0, 7, 90)
    train = (centres[labels] + rng.normal(size=(300, 12))).astype(np.float32) * rng.uniform(1, 9, (300, 1))
    test = (centres[wanted] + rng.normal(size=(90, 12))).astype(np.float32)
    oracle = KNeighborsClassifier(k, metric="cosine", weights=lambda d: np.exp((1 - d) / temperature))
    expected = oracle.fit(train, labels).predict(test)
    found = knn_classify(jnp.float32(train), jnp.asarray(labels), test, classes=7, k=k, temperature=temperature)
    np.testing.assert_array_equal(found, expected)
    accuracy = knn_accuracy(jnp.float32(train), labels, test, wanted, k=k, temperature=temperature)
    assert accuracy == pytest.approx((expected == wanted).mean())
    assert 0.3 < accuracy < 1  # neither trivial nor chance


def test_one_near_neighbour_outweighs_two_far_ones_only_at_a_low_temperature():
    train = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 1.2]], np.float32)
    labels, query = np.array([1, 0, 0]), np.array([[5.0, 0.2]], np.float32)
    assert knn_classify(train, labels, query, classes=2, k=3, temperature=0.07)[0] == 1
    assert knn_classify(train, labels, query, classes=2, k=3, temperature=10.0)[0] == 0


def test_more_neighbours_than_videos_are_refused():
    with pytest.raises(ConfigError, match="k=5 neighbours among 3 labelled videos; choose 1 to 3"):
        knn_accuracy(np.eye(3), np.arange(3), np.eye(3), np.arange(3))
