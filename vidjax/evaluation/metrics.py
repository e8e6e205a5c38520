"""Classification metrics on the host, over the scores of a whole data set.

Ties are broken towards the lower class index, here and in every file written from here, so that a constant
predictor scores the share of class 0 on each machine.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int


def top_k(scores: Float[np.ndarray, "n classes"], k: int) -> Int[np.ndarray, "n k"]:
    """The k best classes of each row, best first; all classes if there are fewer than k."""
    return np.argsort(-scores, axis=-1, kind="stable")[:, :k]


def top_k_hits(scores: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"], k: int) -> Bool[np.ndarray, " n"]:
    """Whether the label is among the k best classes of its row; always, if there are no more than k classes."""
    return (top_k(scores, k) == labels[:, None]).any(axis=-1)


def confusion_matrix(
    labels: Int[np.ndarray, " n"], predictions: Int[np.ndarray, " n"], num_classes: int
) -> Int[np.ndarray, "classes classes"]:
    """Count how often each class (row) was called each class (column)."""
    pairs = np.bincount(labels * num_classes + predictions, minlength=num_classes**2)
    return pairs.reshape(num_classes, num_classes)


def per_class_accuracy(
    labels: Int[np.ndarray, " n"], hits: Bool[np.ndarray, " n"], num_classes: int
) -> Float[np.ndarray, " classes"]:
    """The share of hits among the examples of each class, in 0-1; NaN for a class without examples."""
    total = np.bincount(labels, minlength=num_classes)
    right = np.bincount(labels, weights=hits, minlength=num_classes)
    return np.divide(right, total, out=np.full(num_classes, np.nan), where=total > 0)
