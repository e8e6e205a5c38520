"""What a model says of one video file: the scores of its test views, or of the windows of a long video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, UInt8

from vidjax.data.clips.eval_views import window_views
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.sources.windows import windows_of
from vidjax.data.video.readers import OpenVideo
from vidjax.evaluation.action import best_actions
from vidjax.evaluation.merge_views import merge_views, merge_windows, probabilities
from vidjax.evaluation.metrics.classification import top_k
from vidjax.evaluation.multiview import Scoring

Advance = Callable[[float], object]


class Predictor:
    """Turns a video into the scores that an evaluation with the same recipe gives it.

    Attributes:
      recipe: how views or windows are taken from a video, and how their scores are merged.
      activation: makes probabilities of logits, softmax or sigmoid; another one has made the numbers of a regression.
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
        """Without `labels`, classes are called by their numbers."""
        self.recipe, self.activation = recipe, activation
        self._params, self._labels = params, labels
        self._logits = jax.jit(objective.scores)
        self._merged = jax.jit(lambda logits: merge_views(logits, recipe.merge)[0])

    @property
    def numbers(self) -> bool:
        """Whether scores are the numbers of a regression rather than scores of classes."""
        return self.activation not in ("softmax", "sigmoid")

    def __call__(self, video: OpenVideo, advance: Advance = lambda share: None) -> Float[np.ndarray, " classes"]:
        """The merged scores of the views of a video that `open_video` has opened.

        Args:
          advance: called after each view with the share of the video that it makes up.

        Raises:
          VideoError: when it cannot be decoded.
        """
        [views] = window_views(video, self.recipe, [None])
        return self._score(views, advance)

    def windows(
        self, video: OpenVideo, advance: Advance = lambda share: None
    ) -> tuple[Float[np.ndarray, "w 2"], Float[np.ndarray, "w classes"]]:
        """Start and end in seconds, and scores, of the windows that recipe.windows slides over an opened video.

        Args:
          advance: called after each view with the share of the video that it makes up.

        Raises:
          VideoError: when it cannot be decoded.
        """
        times = windows_of(video.frames, video.fps, self.recipe)

        def of_window(share: float) -> None:
            advance(share / len(times))

        scores = [self._score(views, of_window) for views in window_views(video, self.recipe, times)]
        return np.array(times), np.stack(scores)

    def merge(self, windows: Float[np.ndarray, "w classes"]) -> Float[np.ndarray, " classes"]:
        """The scores of a video from those of its windows."""
        return merge_windows(windows, self.recipe.window_merge)

    def top(self, scores: Float[np.ndarray, " classes"], k: int) -> list[dict[str, Any]]:
        """The `k` classes with the highest scores, or all where there are fewer: label and probability, best first."""
        shown = probabilities(scores, self.recipe.merge, self.activation, self.recipe.views)
        best = top_k(scores[None], k)[0]
        return [{"label": self.name(number), "probability": float(shown[number])} for number in best]

    def name(self, number: int) -> str:
        """The name of a class or a target."""
        return self._labels[number] if self._labels else f"class {number}"

    def _score(self, views: UInt8[np.ndarray, "v t h w 3"], advance: Advance) -> Float[np.ndarray, " classes"]:
        """The merged scores of views, which are computed one by one, as an evaluation does."""
        logits = []
        for view in views:
            logits.append(np.asarray(self._logits(self._params, view[None])))
            advance(1 / len(views))
        return np.asarray(self._merged(np.stack(logits)))


class ActionPredictor(Predictor):
    """A `Predictor` of actions, whose outputs are the nouns and then the verbs."""

    def __init__(self, nouns: int, *arguments: Any, **options: Any):
        """Take a model whose first `nouns` outputs are nouns, and what a `Predictor` takes."""
        super().__init__(*arguments, **options)
        self._nouns = nouns

    def top(self, scores: Float[np.ndarray, " outputs"], k: int) -> list[dict[str, Any]]:
        """The `k` most probable actions: label, verb, noun, and the product of their probabilities, best first."""
        parts = np.split(scores, [self._nouns])
        noun, verb = (probabilities(part, self.recipe.merge, self.activation, self.recipe.views) for part in parts)
        return [self._action(*best, float(noun[best[0]] * verb[best[1]])) for best in best_actions(*parts, k)]

    def _action(self, noun: int, verb: int, probability: float) -> dict[str, Any]:
        names = {"verb": self.name(self._nouns + verb), "noun": self.name(noun)}
        return {"label": f"{names['verb']} {names['noun']}", **names, "probability": probability}
