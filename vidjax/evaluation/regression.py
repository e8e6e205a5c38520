"""Evaluation of regressions: how well predictions agree with their targets over all rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from vidjax.config import Config
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.evaluation.evaluator import VideoEvaluator
from vidjax.evaluation.metrics.regression import FIGURES, SQUARES, summarise_regression
from vidjax.evaluation.result_files import VideoScores
from vidjax.evaluation.shown_clips import Judged


class RegressionEvaluator(VideoEvaluator):
    """Average predictions over the views of each row, and score their agreement with the targets over all rows.

    Attributes:
      figures: the metrics, names from `metrics.regression.agreement` in the order in which they are printed.
    """

    main = "ccc"
    quick = ("ccc", "rmse")
    figures: ClassVar[tuple[str, ...]] = FIGURES

    def prepare(self) -> None:
        """Read the targets of all rows."""
        self._targets = np.array([self.source[row].target for row in range(len(self.source))])

    @classmethod
    def clip_recipe(cls, config: Config) -> ClipRecipe:
        """Return the clip recipe with averaged views, because config.eval.merge is for classes."""
        return dataclasses.replace(super().clip_recipe(config), merge="mean")

    def summarise(self, found: VideoScores, recipe: ClipRecipe) -> dict[str, Any]:
        """Return the agreement over all targets and for each target, and the agreement of the best constant."""
        results = summarise_regression(found.scores, self._targets, found.scored, self.labels, self.figures)
        return results | {"eval/clips": recipe.clips, "eval/crops": recipe.crops}

    def lines(self, found: VideoScores) -> dict[str, Iterable[dict]]:
        """Return the target and prediction of each row."""
        rows = (
            {
                "index": index,
                "id": self.source[index].id,
                "target": self._targets[index].tolist(),
                "prediction": [round(float(value), 6) for value in found.scores[index]],
                "scored": bool(found.scored[index]),
                "reason": found.reasons[index],
            }
            for index in range(len(self.source))
        )
        return {"predictions.jsonl": rows}

    def judged(self, found: VideoScores) -> Judged:
        """Judge each row by the distance between its prediction and target."""
        distance = np.linalg.norm(found.scores - self._targets, axis=1)

        def words(row: int) -> str:
            target, answer = (", ".join(f"{value:.2f}" for value in of[row]) for of in (self._targets, found.scores))
            return f"{target}; predicted {answer}"

        return Judged(np.where(found.scored, -distance, np.nan), words)

    def sentence(self, results: Mapping[str, Any], found: VideoScores) -> str:
        """Return the agreement of the predictions and of the best constant in one line."""
        figures, constant = (
            ", ".join(f"{name.upper()} {results[prefix + name]:.4f}" for name in self.figures)
            for prefix in ("eval/", "eval/constant_")
        )
        scored = f"scored {results['eval/num_scored']} of {results['eval/num_expected']} rows"
        return f"{scored}: {figures} (the best constant: {constant})"


class LeastSquaresEvaluator(RegressionEvaluator):
    """Score squared errors; checkpoints are ranked by R2, which for a single target ranks them like MSE."""

    main = "r2"
    quick = ("r2", "mse")
    figures = SQUARES
