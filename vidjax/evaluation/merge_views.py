"""How the scores of several views, or windows, of one video become one score per class.

The rule is part of a protocol: VideoMAE and VideoMamba average softmax, TimeSformer, SVT and ViViT add logits,
SlowFast's Charades protocol takes the largest probability. Reported accuracies depend on it, so it is never implied.
"""

from __future__ import annotations

from typing import TypeVar, cast

import jax
import numpy as np
from jaxtyping import Array, Float

from vidjax.errors import ConfigError

ACTIVATIONS = {"": lambda outputs: outputs, "softmax": jax.nn.softmax, "sigmoid": jax.nn.sigmoid}
MERGES = {  # what is done to the outputs of a view, and how the views are then reduced
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
      rule: `mean_softmax` (mean over the views of the probabilities), `sum_logits`, or `max` (largest probability
        that any view gives the class; the scores do not add up to one); `mean` of what a regression predicts;
        `mean_sigmoid` and `max_sigmoid` of the probabilities of several labels.

    Raises:
      ConfigError: for another rule.
    """
    if rule not in MERGES:
        raise ConfigError(f"config.eval.merge={rule!r} is unknown; choose one of {', '.join(MERGES)}")
    activation, reduction = MERGES[rule]
    return _reduce(ACTIVATIONS[activation](logits.astype("float32")), reduction)


def merge_windows(scores: Float[np.ndarray, "w classes"], merge: str) -> Float[np.ndarray, " classes"]:
    """One score per class from the scores of several windows: their `mean` or `max`."""
    return _reduce(scores, merge)


def rule_with(rule: str, activation: str) -> str:
    """The rule that reduces views as `rule` does, for a model whose probabilities are made by `activation`."""
    reduction = MERGES[rule][1]
    return next((name for name, found in MERGES.items() if found == (activation, reduction)), rule)


def probabilities(
    scores: Float[np.ndarray, "*n classes"], rule: str, activation: str, views: int
) -> Float[np.ndarray, "*n classes"]:
    """What is shown of merged scores, which rank the classes: the scores, unless they are sums of logits.

    Those become the probabilities of the mean logits, in the same order.
    """
    if rule != "sum_logits":
        return scores
    return np.asarray(ACTIVATIONS[activation](scores / np.float32(views)))


def _reduce(values: AnyArray, reduction: str) -> AnyArray:
    """Over the first axis."""
    return cast("AnyArray", {"mean": values.mean, "sum": values.sum, "max": values.max}[reduction](axis=0))
