"""What a classifier says of one video file: its test views, scored one after the other and merged."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from vidjax.config import DataConfig, EvalConfig
from vidjax.data.protocol import protocol_views
from vidjax.evaluation.metrics import top_k
from vidjax.objectives.normalize import normalize

ACTIVATIONS = {"softmax": jax.nn.softmax, "sigmoid": jax.nn.sigmoid}


def probabilities(logits: Float[Array, "v classes"], merge: str, score: str) -> Float[Array, " classes"]:
    """The merged probabilities of a video's views, in float32.

    Args:
      merge: `mean_softmax` and `max` take the mean and the largest of the views' probabilities; `sum_logits` turns the
        mean of their logits into probabilities, which orders the classes as the sum does.
      score: `softmax` for one label a video, `sigmoid` for any number of labels.
    """
    logits, activate = logits.astype(jnp.float32), ACTIVATIONS[score]
    if merge == "sum_logits":
        return activate(logits.mean(axis=0))
    views = activate(logits)
    return {"mean_softmax": views.mean, "max": views.max}[merge](axis=0)


class Predictor:
    """A classifier with all that turns a video file into probabilities.

    Attributes:
      data: how a clip is taken from the video, and the mean and deviation of its pixels.
      eval: how many views, and how they are merged.
      score: `softmax` or `sigmoid`, which makes probabilities of logits.
    """

    def __init__(
        self,
        module: nn.Module,
        params: Any,
        data: DataConfig,
        eval: EvalConfig,
        *,
        score: str = "softmax",
        labels: Sequence[str] | None = None,
    ):
        """`module` returns logits for normalised clips; without `labels` classes are called by their numbers."""
        self.data, self.eval, self.score = data, eval, score
        self._params, self._labels = params, labels

        @jax.jit
        def score_views(params: Any, views: UInt8[Array, "v t h w c"]) -> Float[Array, " classes"]:
            def one_view(view):
                return module.apply({"params": params}, normalize(view[None], data.mean, data.std))["logits"][0]

            return probabilities(jax.lax.map(one_view, views), eval.merge, score)

        self._score_views = score_views

    def __call__(self, source: str | os.PathLike | bytes) -> Float[np.ndarray, " classes"]:
        """The probabilities of one video.

        Raises:
          VideoError: when it cannot be decoded.
        """
        return np.asarray(self._score_views(self._params, protocol_views(source, self.data, self.eval)))

    def top(self, source: str | os.PathLike | bytes, k: int) -> list[tuple[str, float]]:
        """The `k` most probable classes, or all where there are fewer: (name, probability), the highest first."""
        found = self(source)
        names = self._labels or [f"class {number}" for number in range(len(found))]
        return [(names[number], float(found[number])) for number in top_k(found[None], k)[0]]
