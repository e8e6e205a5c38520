"""How the scores of several views of one video become one score a class.

The rule is part of a protocol: VideoMAE and VideoMamba average softmax, TimeSformer, SVT and ViViT add logits,
SlowFast's Charades protocol takes the largest probability. Reported accuracies depend on it, so it is never implied.
Regressions average outputs; several labels a video are merged as sigmoids, by config.eval.window_merge.
"""

from __future__ import annotations

import jax
from jaxtyping import Array, Float

from vidjax.errors import ConfigError

MERGES = {
    "mean_softmax": lambda logits: jax.nn.softmax(logits, axis=-1).mean(axis=0),
    "sum_logits": lambda logits: logits.sum(axis=0),
    "max": lambda logits: jax.nn.softmax(logits, axis=-1).max(axis=0),
    "mean": lambda outputs: outputs.mean(axis=0),
    "mean_sigmoid": lambda logits: jax.nn.sigmoid(logits).mean(axis=0),
    "max_sigmoid": lambda logits: jax.nn.sigmoid(logits).max(axis=0),
}


def merge_views(logits: Float[Array, "v b classes"], rule: str) -> Float[Array, "b classes"]:
    """Merge the logits of the views of each video into one score a class, in float32.

    Args:
      logits: one row a view and video.
      rule: `mean_softmax` (mean over the views of the probabilities), `sum_logits`, or `max` (largest probability
        that any view gives the class; the scores do not add up to one); `mean` of what a regression predicts;
        `mean_sigmoid` and `max_sigmoid` of the probabilities of several labels.

    Raises:
      ConfigError: for another rule.
    """
    if rule not in MERGES:
        raise ConfigError(f"config.eval.merge={rule!r} is unknown; choose one of {', '.join(MERGES)}")
    return MERGES[rule](logits.astype("float32"))
