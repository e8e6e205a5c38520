"""Classification metrics on the host, over the scores of a whole data set.

Ties are broken towards the lower class index, here and in every file written from these metrics, so that a constant
predictor scores the frequency of class 0 on every machine.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

AVERAGED = tuple(f"{figure}_{mean}" for mean in ("macro", "micro") for figure in ("precision", "recall", "f1"))


def top_k(scores: Float[np.ndarray, "n classes"], k: int) -> Int[np.ndarray, "n k"]:
    """Return the k best classes of each row, best first; all classes if there are fewer than k."""
    return np.argsort(-scores, axis=-1, kind="stable")[:, :k]


def top_k_hits(scores: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"], k: int) -> Bool[np.ndarray, " n"]:
    """Return whether the label is among the k best classes of its row; always true with k classes or fewer."""
    return (top_k(scores, k) == labels[:, None]).any(axis=-1)


def confusion_matrix(
    labels: Int[np.ndarray, " n"], predictions: Int[np.ndarray, " n"], num_classes: int
) -> Int[np.ndarray, "classes classes"]:
    """Count how often each class (row) was predicted as each class (column)."""
    pairs = np.bincount(labels * num_classes + predictions, minlength=num_classes**2)
    return pairs.reshape(num_classes, num_classes)


def per_class_accuracy(
    labels: Int[np.ndarray, " n"], hits: Bool[np.ndarray, " n"], num_classes: int
) -> Float[np.ndarray, " classes"]:
    """Return the share of hits among the examples of each class, in [0, 1]; NaN for a class without examples."""
    total = np.bincount(labels, minlength=num_classes)
    right = np.bincount(labels, weights=hits, minlength=num_classes)
    return np.divide(right, total, out=np.full(num_classes, np.nan), where=total > 0)


def precision_recall_f1(
    confusion: Int[np.ndarray, "classes classes"], unscored: Int[np.ndarray, " classes"]
) -> dict[str, np.ndarray | float]:
    """Return precision, recall and F1 of each class, their means over classes (macro), and those of all rows (micro).

    A metric with denominator 0 is 0. Classes that neither occur nor are predicted are NaN and left out of the means.
    If every example is scored, micro precision, recall and F1 all equal the accuracy.

    Args:
      confusion: counts of the scored examples, row = label, column = prediction.
      unscored: number of unscored examples of each class; they count as missed, and as predictions of no class.

    Returns:
      precision, recall and f1 (classes,), and each with the suffix _macro and _micro; all in [0, 1].
    """
    right, called, there = np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1) + unscored
    absent = (called == 0) & (there == 0)

    def share(count, total):
        return np.divide(count, total, out=np.zeros(np.shape(total)), where=np.asarray(total) > 0)

    each = {"precision": share(right, called), "recall": share(right, there), "f1": share(2 * right, called + there)}
    micro = (right.sum(), called.sum()), (right.sum(), there.sum()), (2 * right.sum(), called.sum() + there.sum())
    figures: dict[str, np.ndarray | float] = {}
    for (name, values), (count, total) in zip(each.items(), micro, strict=True):
        figures[name] = np.where(absent, np.nan, values)
        figures[f"{name}_macro"] = float(values[~absent].mean()) if (~absent).any() else 0.0
        figures[f"{name}_micro"] = float(share(count, total))
    return figures
