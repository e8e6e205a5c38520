"""Predict one video file: the scores of its test views, or of the windows of a long video."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Self

import jax
import numpy as np
from jaxtyping import Float, UInt8

from vidjax.data.clips.eval_views import window_views
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.sources.windows import windows_of
from vidjax.data.video.readers import OpenVideo
from vidjax.errors import OutputError
from vidjax.evaluation.action import best_actions
from vidjax.evaluation.merge_views import merge_views, merge_windows, probabilities
from vidjax.evaluation.metrics.classification import top_k
from vidjax.evaluation.multiview import Scoring
from vidjax.evaluation.timeline import best_segments, likely_segments, own_times

LIKELY = 0.5  # if a video may have several labels: minimum probability with which a timeline names one
Advance = Callable[[float], object]
Logits = Callable[[UInt8[np.ndarray, "v t h w 3"]], Float[np.ndarray, "v classes"]]


class Predictor:
    """Compute the scores that an evaluation with the same recipe gives to a video.

    Attributes:
      recipe: how views or windows are taken from a video, and how their scores are merged.
      activation: how logits become probabilities, softmax or sigmoid; anything else means a regression.
    """

    def __init__(
        self,
        objective: Scoring,
        params: Any,
        recipe: ClipRecipe,
        *,
        activation: str = "softmax",
        labels: Sequence[str] | None = None,
    ):
        """Take a trained objective; without `labels`, classes are named by their numbers."""
        self.recipe, self.activation = recipe, activation
        self._params, self._labels = params, labels
        self._logits = jax.jit(objective.scores)
        self._elsewhere: Logits | None = None
        self._merged = jax.jit(lambda logits: merge_views(logits, recipe.merge)[0])

    def computed_by(self, logits: Logits) -> Self:
        """Return a copy that computes logits with another function, for example batched with other videos.

        Args:
          logits: takes all views of a video or window at once; may be called from several threads.
        """
        other = copy.copy(self)
        other._elsewhere = logits
        return other

    @property
    def numbers(self) -> bool:
        """Whether scores are the predicted values of a regression, not scores of classes."""
        return self.activation not in ("softmax", "sigmoid")

    def compile(self) -> None:
        """Compile the model, so that the first video takes no longer than others."""
        view = np.zeros((1, self.recipe.num_frames, *self.recipe.frame_size, 3), np.uint8)
        logits = np.asarray(self._logits(self._params, view))
        jax.block_until_ready(self._merged(np.stack([logits] * self.recipe.views)))

    def __call__(self, video: OpenVideo, advance: Advance = lambda share: None) -> Float[np.ndarray, " classes"]:
        """Score a video opened with `open_video` by its merged views.

        Args:
          advance: called after each view with its share of the video.

        Raises:
          VideoError: if the video cannot be decoded.
          OutputError: if the scores are not finite.
        """
        [views] = window_views(video, self.recipe, [None])
        return self.score_views(views, advance)

    def windows(
        self, video: OpenVideo, advance: Advance = lambda share: None
    ) -> tuple[Float[np.ndarray, "w 2"], Float[np.ndarray, "w classes"]]:
        """Score the windows that recipe.windows slides over an opened video.

        Args:
          advance: called after each view with its share of the video.

        Returns:
          the start and end of each window in seconds, and its scores. Times are those at which a player shows the
          frames, even at a variable frame rate.

        Raises:
          VideoError: if the video cannot be decoded.
          OutputError: if the scores of a window are not finite.
        """
        windows, seconds = windows_of(video.times, video.fps, self.recipe)

        def of_window(share: float) -> None:
            advance(share / len(windows))

        scores = [self.score_views(views, of_window) for views in window_views(video, self.recipe, windows)]
        return seconds, np.stack(scores)

    def merge(self, windows: Float[np.ndarray, "w classes"]) -> Float[np.ndarray, " classes"]:
        """Merge the scores of a video's windows into one score per class."""
        return merge_windows(windows, self.recipe.window_merge)

    def top(self, scores: Float[np.ndarray, " classes"], k: int) -> list[dict[str, Any]]:
        """Return the label and probability of the `k` best classes, best first; of all classes if there are fewer."""
        shown = probabilities(scores, self.recipe.merge, self.activation, self.recipe.views)
        best = top_k(scores[None], k)[0]
        return [{"label": self.name(number), "probability": float(shown[number])} for number in best]

    def timeline(self, times: Float[np.ndarray, "w 2"], scores: Float[np.ndarray, "w classes"]) -> list[dict[str, Any]]:
        """Join the windows of a video into segments with one class each.

        Args:
          times, scores: the results of `windows`.

        Returns:
          segments as {start, end, label, probability, windows, agree}, see `vidjax.evaluation.timeline.Segment`. With
          several labels per video, segments may overlap. A regression has one segment per window, with `values`.
        """
        if self.numbers:
            own = zip(own_times(times), scores, strict=True)
            return [_seconds(start, end) | {"values": self.values(row)} for (start, end), row in own]
        names, shares = self._shares(scores)
        threshold = self.recipe.windows.threshold if self.recipe.windows else None
        if self.activation == "sigmoid":
            segments = likely_segments(times, shares, LIKELY if threshold is None else threshold)
        else:
            segments = best_segments(times, shares, threshold or 0.0)
        return [
            _seconds(segment.start, segment.end)
            | names(segment.number)
            | {"probability": segment.probability, "windows": segment.windows, "agree": segment.agree}
            for segment in segments
        ]

    def values(self, scores: Float[np.ndarray, " targets"]) -> list[dict[str, Any]]:
        """Return the name and value of each target of a regression."""
        return [{"name": self.name(number), "value": float(value)} for number, value in enumerate(scores)]

    def name(self, number: int) -> str:
        """Return the name of a class or a target."""
        return self._labels[number] if self._labels else f"class {number}"

    def _shares(
        self, scores: Float[np.ndarray, "w classes"]
    ) -> tuple[Callable[[int], dict[str, Any]], Float[np.ndarray, "w k"]]:
        """Return a function that names each answer, and the probability of each answer in each window."""
        shown = probabilities(scores, self.recipe.merge, self.activation, self.recipe.views)
        return lambda number: {"label": self.name(number)}, shown

    def score_views(
        self, views: UInt8[np.ndarray, "v t h w 3"], advance: Advance = lambda share: None
    ) -> Float[np.ndarray, " classes"]:
        """Return the merged scores of some views, which are computed one by one, as in an evaluation.

        In a copy made by `computed_by`, the other function computes all of them at once.

        Raises:
          OutputError: if the scores are not finite. An evaluation counts such a video as unscored.
        """
        if self._elsewhere:
            logits = list(self._elsewhere(views)[:, None])
            advance(1)
        else:
            logits = []
            for view in views:
                logits.append(np.asarray(self._logits(self._params, view[None])))
                advance(1 / len(views))
        scores = np.asarray(self._merged(np.stack(logits)))
        if not np.isfinite(scores).all():
            raise OutputError(
                "the model's outputs are NaN or infinite; its weights are damaged or its training diverged: try other "
                "weights"
            )
        return scores


class ActionPredictor(Predictor):
    """A `Predictor` of actions, for a model whose outputs are first the nouns and then the verbs."""

    def __init__(self, nouns: int, *arguments: Any, **options: Any):
        """Take the number of nouns, and the arguments of `Predictor`."""
        super().__init__(*arguments, **options)
        self._nouns = nouns

    def top(self, scores: Float[np.ndarray, " outputs"], k: int) -> list[dict[str, Any]]:
        """Return the `k` most probable actions: label, verb, noun and probability (verb's times noun's), best first."""
        noun, verb = self._of_parts(scores)
        best = best_actions(*np.split(scores, [self._nouns]), k)
        return [self._action(*pair) | {"probability": float(noun[pair[0]] * verb[pair[1]])} for pair in best]

    def _shares(
        self, scores: Float[np.ndarray, "w outputs"]
    ) -> tuple[Callable[[int], dict[str, Any]], Float[np.ndarray, "w k"]]:
        """See `Predictor`; the answers are the best actions of the windows."""
        best = [best_actions(*np.split(row, [self._nouns]), 1)[0] for row in scores]
        pairs = np.unique(best, axis=0)
        noun, verb = self._of_parts(scores)
        return lambda number: self._action(*pairs[number]), noun[:, pairs[:, 0]] * verb[:, pairs[:, 1]]

    def _of_parts(self, scores: Float[np.ndarray, "*w outputs"]) -> list[np.ndarray]:
        """Return the probabilities of the nouns and of the verbs."""
        parts = np.split(scores, [self._nouns], axis=-1)
        return [probabilities(part, self.recipe.merge, self.activation, self.recipe.views) for part in parts]

    def _action(self, noun: int, verb: int) -> dict[str, Any]:
        names = {"verb": self.name(self._nouns + verb), "noun": self.name(noun)}
        return {"label": f"{names['verb']} {names['noun']}", **names}


def _seconds(start: float, end: float) -> dict[str, Any]:
    return {"start": round(float(start), 3), "end": round(float(end), 3)}
