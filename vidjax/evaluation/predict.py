"""What a model says of one video file: the scores of its test views, or of the windows of a long video."""

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
from vidjax.evaluation.action import best_actions
from vidjax.evaluation.merge_views import merge_views, merge_windows, probabilities
from vidjax.evaluation.metrics.classification import top_k
from vidjax.evaluation.multiview import Scoring
from vidjax.evaluation.time_line import best_segments, likely_segments, own_times

LIKELY = 0.5  # probability from which one of several labels is named in a time line
Advance = Callable[[float], object]
Logits = Callable[[UInt8[np.ndarray, "v t h w 3"]], Float[np.ndarray, "v classes"]]


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
        self._elsewhere: Logits | None = None
        self._merged = jax.jit(lambda logits: merge_views(logits, recipe.merge)[0])

    def computed_by(self, logits: Logits) -> Self:
        """The same, its logits computed elsewhere, such as together with those of other videos.

        Args:
          logits: is given all views of a video or of a window at once, and may be called from several threads.
        """
        other = copy.copy(self)
        other._elsewhere = logits
        return other

    @property
    def numbers(self) -> bool:
        """Whether scores are the numbers of a regression rather than scores of classes."""
        return self.activation not in ("softmax", "sigmoid")

    def compile(self) -> None:
        """Compile what a video needs, so that the first takes no longer than others."""
        view = np.zeros((1, self.recipe.num_frames, *self.recipe.frame_size, 3), np.uint8)
        logits = np.asarray(self._logits(self._params, view))
        jax.block_until_ready(self._merged(np.stack([logits] * self.recipe.views)))

    def __call__(self, video: OpenVideo, advance: Advance = lambda share: None) -> Float[np.ndarray, " classes"]:
        """The merged scores of the views of a video that `open_video` has opened.

        Args:
          advance: called after each view with the share of the video that it makes up.

        Raises:
          VideoError: when it cannot be decoded.
        """
        [views] = window_views(video, self.recipe, [None])
        return self.score_views(views, advance)

    def windows(
        self, video: OpenVideo, advance: Advance = lambda share: None
    ) -> tuple[Float[np.ndarray, "w 2"], Float[np.ndarray, "w classes"]]:
        """Start and end in seconds, and scores, of the windows that recipe.windows slides over an opened video.

        The seconds are those at which a player shows the frames, also where these do not come at a constant rate.

        Args:
          advance: called after each view with the share of the video that it makes up.

        Raises:
          VideoError: when it cannot be decoded.
        """
        windows = windows_of(video.frames, video.fps, self.recipe)

        def of_window(share: float) -> None:
            advance(share / len(windows))

        scores = [self.score_views(views, of_window) for views in window_views(video, self.recipe, windows)]
        return video.times[np.rint(np.array(windows) * video.fps).astype(int)], np.stack(scores)

    def merge(self, windows: Float[np.ndarray, "w classes"]) -> Float[np.ndarray, " classes"]:
        """The scores of a video from those of its windows."""
        return merge_windows(windows, self.recipe.window_merge)

    def top(self, scores: Float[np.ndarray, " classes"], k: int) -> list[dict[str, Any]]:
        """The `k` classes with the highest scores, or all where there are fewer: label and probability, best first."""
        shown = probabilities(scores, self.recipe.merge, self.activation, self.recipe.views)
        best = top_k(scores[None], k)[0]
        return [{"label": self.name(number), "probability": float(shown[number])} for number in best]

    def time_line(
        self, times: Float[np.ndarray, "w 2"], scores: Float[np.ndarray, "w classes"]
    ) -> list[dict[str, Any]]:
        """What `windows` gives as stretches of time, each with one class: {start, end, label, probability, windows,
        agree}, see `vidjax.evaluation.time_line.Segment`.

        Those of several labels a video overlap; those of a regression are the windows' own, with `values`.
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
        """The numbers of a regression: name and value."""
        return [{"name": self.name(number), "value": float(value)} for number, value in enumerate(scores)]

    def name(self, number: int) -> str:
        """The name of a class or a target."""
        return self._labels[number] if self._labels else f"class {number}"

    def _shares(
        self, scores: Float[np.ndarray, "w classes"]
    ) -> tuple[Callable[[int], dict[str, Any]], Float[np.ndarray, "w k"]]:
        """How each answer is called, and its probability in each window."""
        shown = probabilities(scores, self.recipe.merge, self.activation, self.recipe.views)
        return lambda number: {"label": self.name(number)}, shown

    def score_views(
        self, views: UInt8[np.ndarray, "v t h w 3"], advance: Advance = lambda share: None
    ) -> Float[np.ndarray, " classes"]:
        """The merged scores of views, which are computed one by one, as an evaluation does, if not elsewhere."""
        if self._elsewhere:
            logits = self._elsewhere(views)[:, None]
            advance(1)
            return np.asarray(self._merged(logits))
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
        noun, verb = self._of_parts(scores)
        best = best_actions(*np.split(scores, [self._nouns]), k)
        return [self._action(*pair) | {"probability": float(noun[pair[0]] * verb[pair[1]])} for pair in best]

    def _shares(
        self, scores: Float[np.ndarray, "w outputs"]
    ) -> tuple[Callable[[int], dict[str, Any]], Float[np.ndarray, "w k"]]:
        """The probability of each action that is the best of some window."""
        best = [best_actions(*np.split(row, [self._nouns]), 1)[0] for row in scores]
        pairs = np.unique(best, axis=0)
        noun, verb = self._of_parts(scores)
        return lambda number: self._action(*pairs[number]), noun[:, pairs[:, 0]] * verb[:, pairs[:, 1]]

    def _of_parts(self, scores: Float[np.ndarray, "*w outputs"]) -> list[np.ndarray]:
        """The probabilities of the nouns and those of the verbs."""
        parts = np.split(scores, [self._nouns], axis=-1)
        return [probabilities(part, self.recipe.merge, self.activation, self.recipe.views) for part in parts]

    def _action(self, noun: int, verb: int) -> dict[str, Any]:
        names = {"verb": self.name(self._nouns + verb), "noun": self.name(noun)}
        return {"label": f"{names['verb']} {names['noun']}", **names}


def _seconds(start: float, end: float) -> dict[str, Any]:
    return {"start": round(float(start), 3), "end": round(float(end), 3)}
