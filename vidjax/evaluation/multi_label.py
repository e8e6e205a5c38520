"""Evaluation of multi-label classifiers by sliding windows, merged over whole videos and at moments of each video."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from vidjax.config import Config
from vidjax.data.clips.recipe import ClipRecipe, Windows
from vidjax.data.sources.annotations import window_labels
from vidjax.data.sources.windows import WindowSource
from vidjax.errors import ConfigError
from vidjax.evaluation.evaluator import Evaluator
from vidjax.evaluation.merge_views import merge_windows
from vidjax.evaluation.metrics import classification as metrics
from vidjax.evaluation.metrics.average_precision import (
    average_precision,
    labels_at,
    mean_average_precision,
    moments_of,
    scores_at,
)
from vidjax.evaluation.multiview import Scoring, make_eval_step
from vidjax.evaluation.result_files import VideoScores
from vidjax.evaluation.shown_clips import Judged
from vidjax.objectives.base import Params

_UNSCORED = -1.0  # below every probability, so that unscored videos are ranked last


@dataclasses.dataclass(frozen=True)
class Scores:
    """The scores of all windows, of all videos (n classes), and of all their moments (m classes)."""

    windows: VideoScores
    videos: np.ndarray
    moments: np.ndarray


class MultiLabelEvaluator(Evaluator[Scoring, Scores]):
    """Score mean average precision over videos, and over 25 moments of each, from the windows of each video.

    Windows start every config.eval.window_stride seconds; if that is 0, config.eval.clips windows are evenly spaced.
    config.eval.window_merge is the rule for merging both the probabilities of a window's config.eval.crops crops and
    the probabilities of the windows.
    """

    main = "map"
    quick = ("map", "map_localised")

    def prepare(self) -> None:
        """Read the intervals of all videos, and open each video for its length."""
        self._windows = WindowSource(self.source, self.recipe)
        rows, classes = [self.source[index] for index in range(len(self.source))], self.source.num_classes
        self._positives = np.stack([window_labels(row.intervals, None, classes) for row in rows]) > 0
        lengths = [row.duration or found for row, found in zip(rows, self._windows.durations, strict=True)]
        self._moments = [moments_of(length) for length in lengths]
        at = (labels_at(row.intervals, times, classes) for row, times in zip(rows, self._moments, strict=True))
        self._positives_at = np.concatenate(list(at))
        self._past_end = sum(
            length < end < math.inf for row, length in zip(rows, lengths, strict=True) for _, end, _ in row.intervals
        )
        self._num_intervals = sum(len(row.intervals) for row in rows)

    @classmethod
    def check(cls, config: Config) -> None:
        """Reject a negative stride of windows."""
        if config.eval.window_stride < 0:
            raise ConfigError(f"config.eval.window_stride={config.eval.window_stride} must be at least 0 seconds")

    @classmethod
    def clip_recipe(cls, config: Config) -> ClipRecipe:
        """Return the recipe with one clip per window, whose crops are merged as probabilities too."""
        whole, merge = super().clip_recipe(config), config.eval.window_merge
        windows = Windows(seconds=config.eval.window_stride, count=config.eval.clips, merge=merge)
        return dataclasses.replace(whole, clips=1, merge=f"{merge}_sigmoid", windows=windows)

    def make_step(self) -> Callable[[Any, dict], dict]:
        """Make the compiled step that scores the crops of a batch of windows."""
        return make_eval_step(self.objective, self.recipe.merge, self.mesh)

    def score(self, params: Params, recipe: ClipRecipe, *, progress: bool) -> Scores:
        """Score every window once, and merge the windows of each video.

        Raises:
          ConfigError: if the data and the model have different numbers of classes.
        """
        windows = self.score_rows(params, self._windows, recipe, progress=progress)
        if windows.scores.shape[1] != self.source.num_classes:
            raise ConfigError(
                f"the data has {self.source.num_classes} classes, but the model has {windows.scores.shape[1]}; "
                "evaluate on data with the classes that the model was trained with"
            )
        return Scores(windows, *self._merge(windows))

    def _merge(self, windows: VideoScores) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores of whole videos, and the scores of all moments, video by video."""
        merge, times = self.config.eval.window_merge, self._windows.times()
        whole, moments = [], []
        for index, at in enumerate(self._moments):
            own = np.flatnonzero((self._windows.video_of == index) & windows.scored)
            if not len(own):
                whole.append(np.full(self.source.num_classes, _UNSCORED))
                moments.append(np.full((len(at), self.source.num_classes), _UNSCORED))
                continue
            whole.append(merge_windows(windows.scores[own], merge))
            moments.append(scores_at(at, times[own], windows.scores[own], merge))
        return np.stack(whole), np.concatenate(moments)

    def summarise(self, found: Scores, recipe: ClipRecipe) -> dict[str, Any]:
        """Return the mean average precision of the model and of constant scores, and the model's per class."""
        windows = found.windows
        mean, each = mean_average_precision(found.videos, self._positives)
        there, there_at = self._positives.any(axis=0), self._positives_at.any(axis=0)
        scored = np.bincount(self._windows.video_of, weights=windows.scored, minlength=len(self.source)) > 0
        names = self.labels or [str(number) for number in range(len(each))]
        return {
            "eval/map": mean,
            "eval/map_localised": mean_average_precision(found.moments, self._positives_at)[0],
            "eval/constant_map": float(self._positives[:, there].mean()),
            "eval/constant_map_localised": float(self._positives_at[:, there_at].mean()),
            "eval/num_classes_with_positives": int(there.sum()),
            "eval/num_scored": int(scored.sum()),
            "eval/num_expected": len(self.source),
            "eval/num_windows": len(windows.scored),
            "eval/num_windows_scored": int(windows.scored.sum()),
            "eval/num_intervals": self._num_intervals,
            "eval/num_intervals_past_the_end": int(self._past_end),
            "eval/merge": self.config.eval.window_merge,
            "eval/crops": recipe.crops,
            **{f"eval/ap/{name}": float(ap) for name, ap in zip(names, each, strict=True) if not np.isnan(ap)},
        }

    def lines(self, found: Scores) -> dict[str, Iterable[dict]]:
        """Return the labels and best classes of each video, and the best classes of each window."""
        return {
            "predictions.jsonl": self._video_lines(found.videos),
            "windows.jsonl": self._window_lines(found.windows),
        }

    def reasons(self, found: Scores) -> list[str]:
        """Return why each video's first unscored window was not scored; an empty string if all windows were scored."""
        reasons = [""] * len(self.source)
        for video, reason in zip(self._windows.video_of, found.windows.reasons, strict=True):
            reasons[video] = reasons[video] or reason
        return reasons

    def judged(self, found: Scores) -> Judged:
        """Judge each video that has labels by the average precision of its labels among all classes."""
        names = self.labels or [str(number) for number in range(self.source.num_classes)]
        rows = zip(found.videos, self._positives, strict=True)
        marks = [average_precision(row, own) if own.any() and row.min() >= 0 else np.nan for row, own in rows]

        def words(video: int) -> str:
            own = ", ".join(names[number] for number in np.flatnonzero(self._positives[video]))
            [best] = metrics.top_k(found.videos[video : video + 1], 3).tolist()
            return f"{own}; answered {', '.join(f'{names[c]} {found.videos[video, c]:.0%}' for c in best)}"

        return Judged(np.array(marks), words)

    def sentence(self, results: Mapping[str, Any], found: Scores) -> str:
        """Return the mean average precision over videos and over moments, for the model and for a constant."""
        return (
            f"scored {results['eval/num_scored']} of {results['eval/num_expected']} videos in "
            f"{results['eval/num_windows']} windows, {results['eval/merge']}: mAP {results['eval/map']:.1%}, "
            f"at 25 moments {results['eval/map_localised']:.1%} (a constant: {results['eval/constant_map']:.1%} and "
            f"{results['eval/constant_map_localised']:.1%})"
        )

    def _video_lines(self, videos: np.ndarray) -> Iterator[dict]:
        for index, (scores, positives) in enumerate(zip(videos, self._positives, strict=True)):
            scored = bool(scores.min() >= 0)
            top = metrics.top_k(scores[None], 5)[0].tolist() if scored else []
            yield {
                "index": index,
                "id": self.source[index].id,
                "labels": np.flatnonzero(positives).tolist(),
                "top": top,
                "scores": [round(float(scores[c]), 6) for c in top],
                "scored": scored,
            }

    def _window_lines(self, windows: VideoScores) -> Iterator[dict]:
        best = metrics.top_k(windows.scores, 5)
        for index, (start, end) in enumerate(self._windows.times()):
            top = best[index].tolist() if windows.scored[index] else []
            yield {
                "id": self.source[int(self._windows.video_of[index])].id,
                "start": round(float(start), 3),
                "end": round(float(end), 3),
                "top": top,
                "scores": [round(float(windows.scores[index, c]), 6) for c in top],
                "reason": windows.reasons[index],
            }
