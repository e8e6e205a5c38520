"""Mean average precision for several labels per video, over whole videos and at 25 moments of each.

Sources: Charades' `Charades_v1_classify.m` and `Charades_v1_localize.m` (Sigurdsson et al. 2016); SlowFast's meters,
which leave out classes without positives.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from vidjax.data.sources.rows import Interval
from vidjax.evaluation.merge_views import merge_windows

MOMENTS = 25  # equally spaced, the first at 0 and the last 1/25 of the length before the end


def average_precision(scores: Float[np.ndarray, " n"], positives: Bool[np.ndarray, " n"]) -> float:
    """Return the mean of the precision at the rank of each positive; NaN without positives.

    Equal scores share their last rank, so that a constant predictor scores the fraction of positives.
    """
    positives = np.asarray(positives, bool)
    if not positives.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ranked, found = scores[order], np.cumsum(positives[order])
    last = np.searchsorted(-ranked, -ranked, side="right")  # how many score as high or higher
    precision = found[last - 1] / last
    return float(precision[positives[order]].mean())


def mean_average_precision(
    scores: Float[np.ndarray, "n classes"], positives: Bool[np.ndarray, "n classes"]
) -> tuple[float, Float[np.ndarray, " classes"]]:
    """Return the mean over the classes that have positives, and the average precision of each class.

    A class without positives has NaN; the mean is NaN if no class has positives.
    """
    each = np.array([average_precision(*pair) for pair in zip(scores.T, positives.T, strict=True)])
    there = ~np.isnan(each)
    return (float(each[there].mean()) if there.any() else float("nan")), each


def moments_of(duration: float) -> Float[np.ndarray, " moments"]:
    """Return the times in seconds at which a video's labels are localised: i / 25 of its length for i from 0 to 24."""
    return np.arange(MOMENTS) / MOMENTS * duration


def labels_at(
    intervals: Sequence[Interval], times: Float[np.ndarray, " m"], num_classes: int
) -> Bool[np.ndarray, "m classes"]:
    """Return which classes occur at each time; an interval includes its start and end."""
    labels = np.zeros((len(times), num_classes), bool)
    for start, end, number in intervals:
        labels[:, number] |= (start <= times) & (times <= end)
    return labels


def scores_at(
    times: Float[np.ndarray, " m"],
    windows: Float[np.ndarray, "w 2"],
    scores: Float[np.ndarray, "w classes"],
    merge: str,
) -> Float[np.ndarray, "m classes"]:
    """Return the scores at each time: the `mean` or `max` over the windows that cover it, else over the nearest."""
    outside = np.maximum(windows[:, 0] - times[:, None], times[:, None] - windows[:, 1])  # negative inside
    found = []
    for distances in outside:
        over = distances <= max(distances.min(), 0.0)
        found.append(merge_windows(scores[over], merge))
    return np.stack(found)
