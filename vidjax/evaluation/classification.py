"""Evaluation of classifiers: accuracies over all videos, precision and recall per class, and a confusion matrix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vidjax.data.clips.recipe import ClipRecipe
from vidjax.errors import ConfigError
from vidjax.evaluation.evaluator import VideoEvaluator
from vidjax.evaluation.merge_views import probabilities
from vidjax.evaluation.metrics import classification as metrics
from vidjax.evaluation.metrics.calibration import Reliability, reliability
from vidjax.evaluation.result_files import VideoScores, write_matrix
from vidjax.evaluation.shown_clips import Judged
from vidjax.objectives.base import Params


class ClassificationEvaluator(VideoEvaluator):
    """Score the best class of each video by the multi-view protocol; an unscored video counts as wrong."""

    main = "top1"
    quick = ("top1", "top5", "f1_macro")

    def score(self, params: Params, recipe: ClipRecipe, *, progress: bool) -> VideoScores:
        """Score every video by its merged views.

        Raises:
          ConfigError: if the data has a class that the model does not know.
        """
        found = super().score(params, recipe, progress=progress)
        highest, classes = int(found.labels.max()), found.scores.shape[1]
        if highest >= classes:
            raise ConfigError(
                f"the data has label {highest} (counted from 0), but the model has {classes} classes; set "
                "data.num_classes"
            )
        return found

    def summarise(self, found: VideoScores, recipe: ClipRecipe) -> dict[str, Any]:
        """Return the metrics over all videos, and precision, recall and F1 of each class."""
        return summarise(found, recipe) | per_class(found, self.labels)

    def lines(self, found: VideoScores) -> dict[str, Iterable[dict]]:
        """Return the label and the five best classes of each video."""
        return {"predictions.jsonl": self._predictions(found)}

    def write(self, results: Mapping[str, Any], found: VideoScores) -> None:
        """Also write the confusion matrix of the scored videos, as a table and a picture, and a reliability diagram."""
        from vidjax.viz.calibration import draw_reliability
        from vidjax.viz.confusion import draw_confusion_matrix

        super().write(results, found)
        best, classes, scored = metrics.top_k(found.scores, 1)[:, 0], found.scores.shape[1], found.scored
        matrix = metrics.confusion_matrix(found.labels[scored], best[scored], classes)
        names, pictures = self._names(classes), self.workdir / "pictures"
        write_matrix(self.workdir / "confusion_matrix.csv", matrix, names)
        draw_confusion_matrix(matrix, names, pictures / "confusion_matrix.png")
        if calibrated := calibration(found, self.recipe):
            draw_reliability(
                calibrated.counts, calibrated.accuracy, calibrated.confidence, pictures / "calibration.png"
            )

    def judged(self, found: VideoScores) -> Judged:
        """Judge each video by the probability of its label."""
        shown, names = _shown(found, self.recipe), self._names(found.scores.shape[1])
        best, rows = metrics.top_k(found.scores, 1)[:, 0], np.arange(len(found.labels))
        own, highest = shown[rows, found.labels], shown[rows, best]

        def words(video: int) -> str:
            label, answer = found.labels[video], best[video]
            if label == answer:
                return f"{names[label]}, {own[video]:.0%}"
            return f"{names[label]}, {own[video]:.0%}; mistaken for {names[answer]}, {highest[video]:.0%}"

        return Judged(np.where(found.scored, own, np.nan), words, found.labels)

    def _names(self, classes: int) -> list[str]:
        """Return the names of the classes; a head may have more classes than the data names."""
        named = self.labels or ()
        return [*named, *map(str, range(len(named), classes))]

    def sentence(self, results: Mapping[str, Any], found: VideoScores) -> str:
        """Return the accuracies, and the number of unscored videos by reason, in one line."""
        scored, expected = results["eval/num_scored"], results["eval/num_expected"]
        text = (
            f"scored {scored} of {expected} videos, {results['eval/clips']} x {results['eval/crops']} views, "
            f"{results['eval/merge']}: top-1 {results['eval/top1']:.1%}"
        )
        if "eval/top5" in results:
            text += f", top-5 {results['eval/top5']:.1%}"
        if scored == expected:
            return text
        counts = ", ".join(f"{reason} {found.reasons.count(reason)}" for reason in sorted({*found.reasons} - {""}))
        return (
            f"{text} (unscored videos count as wrong; of the scored, top-1 {results['eval/top1_scored']:.1%}; {counts})"
        )

    def _predictions(self, found: VideoScores) -> Iterator[dict]:
        best = metrics.top_k(found.scores, 5)
        for index, (label, scored, reason) in enumerate(zip(found.labels, found.scored, found.reasons, strict=True)):
            top = best[index].tolist() if scored else []
            yield {
                "index": index,
                "id": self.source[index].id,
                "label": int(label),
                "top": top,
                "scores": [round(float(found.scores[index, c]), 6) for c in top],
                "scored": bool(scored),
                "reason": reason,
            }


def summarise(result: VideoScores, recipe: ClipRecipe) -> dict[str, float | int | str]:
    """Return the flat results of a pass.

    Accuracies are fractions of all videos, and unscored videos count as wrong; only eval/top1_scored is a fraction of
    the scored videos. With five classes or fewer, every class is among the five best, and eval/top5 is left out.
    """
    top1 = metrics.top_k_hits(result.scores, result.labels, 1) & result.scored
    top5 = metrics.top_k_hits(result.scores, result.labels, 5) & result.scored
    num_scored, num_expected = int(result.scored.sum()), len(result.labels)
    classes = result.scores.shape[1]
    by_class = metrics.per_class_accuracy(result.labels, top1, classes)
    figures, counts = precision_recall_f1(result), np.bincount(result.labels, minlength=classes)
    return {
        "eval/top1": float(top1.sum() / num_expected),
        **({"eval/top5": float(top5.sum() / num_expected)} if classes > 5 else {}),
        "eval/top1_scored": float(top1.sum() / max(num_scored, 1)),
        "eval/mean_class_accuracy": float(np.nanmean(by_class)),
        **{f"eval/{name}": float(figures[name]) for name in metrics.AVERAGED},
        "eval/constant_top1": float(counts.max() / num_expected),
        "eval/constant_f1_macro": _constant_f1(counts),
        **_log_loss(result, recipe),
        **({"eval/ece": calibrated.ece} if (calibrated := calibration(result, recipe)) else {}),
        "eval/num_scored": num_scored,
        "eval/num_expected": num_expected,
        "eval/merge": recipe.merge,
        "eval/clips": recipe.clips,
        "eval/crops": recipe.crops,
    }


def calibration(result: VideoScores, recipe: ClipRecipe) -> Reliability | None:
    """Return the calibration of the scored videos' best classes.

    Sums of logits are converted to the softmax of their mean. The result is None if no video was scored, or if the
    scores are not probabilities, as with `max`.
    """
    if recipe.merge not in ("mean_softmax", "sum_logits") or not result.scored.any():
        return None
    shown = _shown(result, recipe)[result.scored]
    best = metrics.top_k(result.scores[result.scored], 1)[:, 0]
    return reliability(shown[np.arange(len(best)), best], best == result.labels[result.scored])


def _shown(result: VideoScores, recipe: ClipRecipe) -> np.ndarray:
    """Return the probabilities of the classes as `vidjax predict` shows them."""
    return probabilities(result.scores, recipe.merge, "softmax", recipe.views)


def precision_recall_f1(result: VideoScores) -> dict[str, np.ndarray | float]:
    """Return precision, recall and F1 of the videos' best classes; see `metrics.classification.precision_recall_f1`."""
    classes, scored = result.scores.shape[1], result.scored
    best = metrics.top_k(result.scores[scored], 1)[:, 0]
    confusion = metrics.confusion_matrix(result.labels[scored], best, classes)
    return metrics.precision_recall_f1(confusion, np.bincount(result.labels[~scored], minlength=classes))


def per_class(result: VideoScores, names: Sequence[str] | None) -> dict[str, float]:
    """Return flat eval/{precision,recall,f1}/<class> of every class that occurs or is predicted."""
    figures, classes = precision_recall_f1(result), result.scores.shape[1]
    named = [*(names or ()), *map(str, range(len(names or ()), classes))]
    return {
        f"eval/{figure}/{name}": float(value)
        for figure in ("precision", "recall", "f1")
        for name, value in zip(named, np.atleast_1d(figures[figure]), strict=True)
        if not np.isnan(value)
    }


def _constant_f1(counts: np.ndarray) -> float:
    """Return the macro F1 of always predicting the most frequent class."""
    share = counts.max() / counts.sum()
    return float(2 * share / (1 + share) / (counts > 0).sum())


def _log_loss(result: VideoScores, recipe: ClipRecipe) -> dict[str, float]:
    """Return the mean negative log-likelihood of the scored videos if their scores are probabilities that sum to 1."""
    if recipe.merge != "mean_softmax" or not result.scored.any():
        return {}
    own = result.scores[result.scored, result.labels[result.scored]]
    return {"eval/log_loss": float(-np.log(np.maximum(own, 1e-12)).mean())}
