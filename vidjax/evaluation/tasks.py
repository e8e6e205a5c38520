"""How each task is scored: one object a task that holds the evaluation split, called with parameters.

`main` names the figure by which a run's checkpoints are ranked; higher is better.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh
from rich.console import Console

from vidjax.config import Config
from vidjax.data.open import open_source
from vidjax.data.sources.annotations import annotation_of
from vidjax.data.sources.base import VideoSource
from vidjax.evaluation import result_files
from vidjax.evaluation.captioning import CaptioningEvaluator
from vidjax.evaluation.metrics.regression import FIGURES, summarise_regression
from vidjax.evaluation.multiview import (
    eval_batch_size,
    evaluate_classifier,
    make_eval_step,
    score_classifier,
    score_source,
)
from vidjax.evaluation.sliding import MultiLabelEvaluator


class Evaluator(Protocol):
    """Attributes:
    main: the figure that ranks checkpoints, without its prefix.
    """

    main: str

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Names of the classes or the targets, where the data has them."""
        ...

    def __call__(self, params: Any, *, progress: bool = True) -> dict:
        """Score every video by `config.eval`; returns the flat results eval/..., which are in results.json too."""
        ...

    def validate(self, params: Any) -> dict:
        """A quicker score, val/..., that writes nothing."""
        ...


class ClassifierEvaluator:
    """By the multi-view protocol or, quicker, by one view; compiled once each."""

    main = "top1"

    def __init__(self, config: Config, objective: Any, mesh: Mesh, workdir: Path, process: tuple[int, int]):
        self._source, self._options = open_eval(config), _options(config, objective, mesh, process, config.eval.merge)
        self._config, self._objective, self._mesh, self._workdir = config, objective, mesh, workdir

    @property
    def labels(self) -> tuple[str, ...] | None:
        return self._source.labels

    def __call__(self, params: Any, *, progress: bool = True) -> dict:
        return evaluate_classifier(
            self._objective, params, self._source, self._config, self._mesh, self._workdir,
            progress=progress, **self._options,
        )  # fmt: skip

    def validate(self, params: Any) -> dict:
        results, _ = score_classifier(
            self._objective, params, self._source, one_view(self._config), self._mesh, progress=False, **self._options
        )
        return {f"val/{name}": results[f"eval/{name}"] for name in ("top1", "top5", "f1_macro")}


class RegressionEvaluator:
    """Predictions averaged over the views of each row, and their agreement with the targets over all rows."""

    main = "ccc"

    def __init__(self, config: Config, objective: Any, mesh: Mesh, workdir: Path, process: tuple[int, int]):
        self._source, self._options = open_eval(config), _options(config, objective, mesh, process, "mean")
        self._config, self._objective, self._mesh, self._workdir = config, objective, mesh, workdir
        self._targets = np.array([self._source[row].target for row in range(len(self._source))])

    @property
    def labels(self) -> tuple[str, ...] | None:
        return self._source.labels

    def __call__(self, params: Any, *, progress: bool = True) -> dict:
        results, scores = self._score(params, self._config, progress)
        results |= {"eval/clips": self._config.eval.clips, "eval/crops": self._config.eval.crops}
        if jax.process_index() == 0:
            self._write(results, scores)
        return results

    def validate(self, params: Any) -> dict:
        results, _ = self._score(params, one_view(self._config), False)
        return {f"val/{name}": results[f"eval/{name}"] for name in ("ccc", "rmse")}

    def _score(self, params: Any, config: Config, progress: bool) -> tuple[dict, result_files.VideoScores]:
        scores = score_source(
            self._objective, params, self._source, config, self._mesh, progress=progress, **self._options
        )
        return summarise_regression(scores.scores, self._targets, scores.scored, self.labels), scores

    def _write(self, results: dict, scores: result_files.VideoScores) -> None:
        self._workdir.mkdir(parents=True, exist_ok=True)
        result_files.write_json(self._workdir / "results.json", results)
        lines = (
            {
                "index": index,
                "id": self._source[index].id,
                "target": self._targets[index].tolist(),
                "prediction": [round(float(value), 6) for value in scores.scores[index]],
                "scored": bool(scores.scored[index]),
                "reason": scores.reasons[index],
            }
            for index in range(len(self._source))
        )
        result_files.write_lines(self._workdir / "predictions.jsonl", lines)
        split = self._config.data.eval_split
        result_files.write_quarantine(self._workdir / "quarantine.jsonl", scores.reasons, self._source, split)
        figures, constant = (
            ", ".join(f"{name.upper()} {results[prefix + name]:.4f}" for name in FIGURES)
            for prefix in ("eval/", "eval/constant_")
        )
        scored = f"scored {results['eval/num_scored']} of {results['eval/num_expected']} rows"
        Console().print(f"{scored}: {figures} (the best constant: {constant})", highlight=False)


EVALUATORS: dict[str, type] = {
    "classification": ClassifierEvaluator,
    "regression": RegressionEvaluator,
    "multi_label": MultiLabelEvaluator,
    "captioning": CaptioningEvaluator,
}


def open_eval(config: Config) -> VideoSource:
    """The evaluation split, with what the task learns from."""
    return open_source(config.data, config.data.eval_split, annotation_of(config.task))


def one_view(config: Config) -> Config:
    """The same run scored by the central view."""
    return dataclasses.replace(config, eval=dataclasses.replace(config.eval, clips=1, crops=1))


def _options(config: Config, objective: Any, mesh: Mesh, process: tuple[int, int], merge: str) -> dict:
    eval_batch_size(config, mesh)  # refuses a batch that does not fit before any training is done
    return {"process": process, "step": make_eval_step(objective, merge, mesh)}
