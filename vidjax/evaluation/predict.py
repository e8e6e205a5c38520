"""What a model says of one video file: its test views, or the windows of a long video, scored one after the other."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from vidjax.config import DataConfig, EvalConfig
from vidjax.data.clips.eval_views import protocol_views
from vidjax.data.sources.windows import window_starts
from vidjax.data.video.readers import open_video
from vidjax.evaluation.metrics.average_precision import merge_windows
from vidjax.evaluation.metrics.classification import top_k
from vidjax.objectives.normalize import fit_frames, normalize

ACTIVATIONS = {"softmax": jax.nn.softmax, "sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh}


def probabilities(logits: Float[Array, "v classes"], merge: str, score: str) -> Float[Array, " classes"]:
    """The merged probabilities of a video's views, in float32.

    Args:
      merge: `mean_softmax` and `max` take the mean and the largest of the views' probabilities; `sum_logits` turns the
        mean of their logits into probabilities, which orders the classes as the sum does.
      score: `softmax` for one label a video, `sigmoid` for any number of labels, `tanh` for a regression's numbers.
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
      score: `softmax` or `sigmoid`, which makes probabilities of logits, or `tanh` for a regression.
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
                clip = fit_frames(view[None], module.spec)
                return module.apply({"params": params}, normalize(clip, data.mean, data.std))["logits"][0]

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
        return self.named(self(source), k)

    def named(self, scores: Float[np.ndarray, " classes"], k: int) -> list[tuple[str, float]]:
        """The `k` highest scores with the names of their classes, the highest first."""
        return [(self.name(number), float(scores[number])) for number in top_k(scores[None], k)[0]]

    def name(self, number: int) -> str:
        """Of a class or a target."""
        return self._labels[number] if self._labels else f"class {number}"

    def windows(
        self, source: str | os.PathLike | bytes, stride: float
    ) -> tuple[Float[np.ndarray, "w 2"], Float[np.ndarray, "w classes"]]:
        """Start and end in seconds, and probabilities, of the windows of a video, one every `stride` seconds.

        Crops of a window are merged by eval.window_merge; a window spans num_frames * stride frames.

        Raises:
          VideoError: when the video cannot be decoded.
        """
        with open_video(source) as video:
            frames, fps = video.frames, video.fps
        span = min(frames, self.data.num_frames * self.data.stride)
        starts = window_starts(frames, span, every=max(1, round(stride * fps)))
        times = np.stack([starts, starts + span], axis=1) / fps
        one = dataclasses.replace(self.eval, clips=1)
        found = [
            np.asarray(self._score_views(self._params, protocol_views(source, self.data, one, at))) for at in times
        ]
        return times, np.stack(found)

    def merge(self, windows: Float[np.ndarray, "w classes"]) -> Float[np.ndarray, " classes"]:
        """The scores of a video from those of its windows."""
        return merge_windows(windows, self.eval.window_merge)
