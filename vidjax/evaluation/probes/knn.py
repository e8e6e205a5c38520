"""Nearest-neighbour probes of frozen features: the most similar labelled videos vote on a video's label.

This is the weighted k-nearest neighbours of Wu et al. 2018 (arXiv:1805.01978, section 3.4), which DINO and SVT use.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from vidjax.errors import ConfigError

NEIGHBOURS, TEMPERATURE = 5, 0.07  # SVT's
_CHUNK = 256  # queries whose similarities to all labelled videos are in memory at once


def knn_accuracy(
    train: Float[Array, "n d"],
    train_labels: Int[Array, " n"],
    test: Float[Array, "m d"],
    test_labels: Int[Array, " m"],
    *,
    k: int = NEIGHBOURS,
    temperature: float = TEMPERATURE,
) -> float:
    """Return the share of test features to which `knn_classify` gives the right label.

    Raises:
      ConfigError: if there are fewer than k labelled features.
    """
    check_neighbours(k, len(train))
    classes = int(max(train_labels.max(), test_labels.max())) + 1
    found = knn_classify(train, train_labels, test, classes=classes, k=k, temperature=temperature)
    return float(jnp.mean(found == jnp.asarray(test_labels)))


def check_neighbours(k: int, labelled: int) -> None:
    """Reject k < 1 and more neighbours than there are labelled videos."""
    if not 1 <= k <= labelled:
        raise ConfigError(f"k={k} neighbours among {labelled} labelled videos; choose 1 to {labelled}")


@functools.partial(jax.jit, static_argnames=("classes", "k"))
def knn_classify(
    train: Float[Array, "n d"],
    train_labels: Int[Array, " n"],
    test: Float[Array, "m d"],
    *,
    classes: int,
    k: int = NEIGHBOURS,
    temperature: float = TEMPERATURE,
) -> Int[Array, " m"]:
    """Return the label with the most votes among the k labelled features with the greatest cosine similarity.

    A neighbour's vote weighs exp(similarity / temperature). The lowest label wins a tie.
    """
    votes = jax.nn.one_hot(train_labels, classes)
    return _weighted_sums(train, votes, test, k, temperature).argmax(axis=-1)


@functools.partial(jax.jit, static_argnames="k")
def knn_average(
    train: Float[Array, "n d"],
    train_targets: Float[Array, "n t"],
    test: Float[Array, "m d"],
    *,
    k: int = NEIGHBOURS,
    temperature: float = TEMPERATURE,
) -> Float[Array, "m t"]:
    """Return the mean target of the k nearest by cosine similarity, weighted by exp(similarity / temperature)."""
    ones = jnp.ones((len(train), 1))
    sums = _weighted_sums(train, jnp.concatenate([train_targets, ones], axis=1), test, k, temperature)
    return sums[:, :-1] / sums[:, -1:]


def _weighted_sums(train, values: Float[Array, "n v"], test, k: int, temperature: float) -> Float[Array, "m v"]:
    """Sum the values of the k nearest, each weighted by exp((similarity - greatest similarity) / temperature)."""
    train, test = _unit(jnp.asarray(train)), _unit(jnp.asarray(test))

    def add_up(query):
        similarity, nearest = jax.lax.top_k(jnp.matmul(train, query, precision="highest"), k)
        weights = jnp.exp((similarity - similarity[0]) / temperature)
        return jnp.matmul(values[nearest].T, weights, precision="highest")

    return jax.lax.map(add_up, test, batch_size=_CHUNK)


def _unit(x: Float[Array, "n d"]) -> Float[Array, "n d"]:
    return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
