"""Merge the scores of several views or windows of one video into one score per class.

The rule is part of a protocol: VideoMAE and VideoMamba average softmax probabilities, TimeSformer, SVT and ViViT add
logits, and SlowFast's Charades protocol takes the largest probability. Reported accuracies depend on the rule, so it is
always explicit.
"""

from __future__ import annotations

from typing import TypeVar, cast

import jax
import numpy as np
from jaxtyping import Array, Float

from vidjax.errors import ConfigError

ACTIVATIONS = {"": lambda outputs: outputs, "softmax": jax.nn.softmax, "sigmoid": jax.nn.sigmoid}
MERGES = {  # the activation of a view's outputs, and the reduction over views
    "mean_softmax": ("softmax", "mean"),
    "sum_logits": ("", "sum"),
    "max": ("softmax", "max"),
    "mean": ("", "mean"),
    "mean_sigmoid": ("sigmoid", "mean"),
    "max_sigmoid": ("sigmoid", "max"),
}
AnyArray = TypeVar("AnyArray", jax.Array, np.ndarray)


def merge_views(logits: Float[Array, "v b classes"], rule: str) -> Float[Array, "b classes"]:
    """Merge the logits of the views of each video into one score per class, in float32.

    Args:
      logits: one row per view and video.
      rule: `mean_softmax` (the mean of the views' probabilities), `sum_logits`, or `max` (the largest probability in
        any view; these scores do not add up to one); for regressions `mean`; for several labels per video
        `mean_sigmoid` and `max_sigmoid`.

    Raises:
      ConfigError: for an unknown rule.
    """
    if rule not in MERGES:
        raise ConfigError(f"config.eval.merge={rule!r} is unknown; choose one of {', '.join(MERGES)}")
    activation, reduction = MERGES[rule]
    return _reduce(ACTIVATIONS[activation](logits.astype("float32")), reduction)


def merge_windows(scores: Float[np.ndarray, "w classes"], merge: str) -> Float[np.ndarray, " classes"]:
    """Merge the scores of several windows into one score per class: their `mean` or `max`."""
    return _reduce(scores, merge)


def rule_with(rule: str, activation: str) -> str:
    """Return the rule with the reduction of `rule` and with `activation`, or `rule` itself if there is no such rule."""
    reduction = MERGES[rule][1]
    return next((name for name, found in MERGES.items() if found == (activation, reduction)), rule)


def probabilities(
    scores: Float[np.ndarray, "*n classes"], rule: str, activation: str, views: int
) -> Float[np.ndarray, "*n classes"]:
    """Convert merged scores to probabilities for display.

    Sums of logits become the probabilities of the mean logits, which rank classes the same; other scores are unchanged.
    """
    if rule != "sum_logits":
        return scores
    return np.asarray(ACTIVATIONS[activation](scores / np.float32(views)))


def _reduce(values: AnyArray, reduction: str) -> AnyArray:
    """Reduce the first axis."""
    return cast("AnyArray", {"mean": values.mean, "sum": values.sum, "max": values.max}[reduction](axis=0))
