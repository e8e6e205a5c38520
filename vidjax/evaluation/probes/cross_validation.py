"""Fit one probe, after searching its settings by cross-validation that keeps each subject's rows together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold, ParameterGrid, StratifiedGroupKFold
from sklearn.pipeline import Pipeline

from vidjax.config import ProbeConfig
from vidjax.data.sources.annotations import LABEL, TARGET
from vidjax.errors import ConfigError
from vidjax.evaluation.metrics.regression import agreement
from vidjax.evaluation.probes.estimators import PROBES

METRICS = {LABEL: "f1_macro", TARGET: "ccc"}  # by annotation, what a search maximises
PROBED = tuple(METRICS)  # annotations that a probe can be fitted to
_LIMITS = {  # maps the wording of a limit to its test and the settings it applies to
    "above 0": (lambda value: value > 0, ("C", "temperature", "widths", "learning_rate")),
    "at least 0": (lambda value: value >= 0, ("weight_decay", "patience")),
    "at least 0 and below 1": (lambda value: 0 <= value < 1, ("dropouts", "validation")),
}


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A probe that was fitted to all training rows.

    Attributes:
      pipeline: the fitted pipeline, with `predict`.
      settings: the chosen point of the grid, by name.
      points: after a search, all settings tried, each with the `mean` and `std` of the metric over folds; else empty.
      curves: for an MLP, one dict per epoch; else empty.
    """

    pipeline: Pipeline
    settings: dict[str, Any]
    points: tuple[dict[str, Any], ...]
    curves: tuple[dict[str, float], ...]


@dataclasses.dataclass(frozen=True)
class TrainingRows:
    """The rows that a probe is fitted to.

    Attributes:
      x: features.
      y: labels (n,) or targets (n k).
      groups: (n,) subjects, whose rows stay together in every fold and in the MLP's validation part.
    """

    x: Float[np.ndarray, "n *t d"]
    y: np.ndarray
    groups: np.ndarray


def fit_probe(name: str, rows: TrainingRows, config: ProbeConfig, annotation: str, seed: int) -> Fitted:
    """Fit a probe, after a search by grouped cross-validation if its grid has more than one point.

    Args:
      name: linear, svm, knn or mlp.

    Raises:
      ConfigError: for fewer subjects than folds, fewer rows than neighbours, or settings that do not fit each other.
    """
    x, y, groups = rows.x, rows.y, rows.groups
    pipeline, grid = PROBES[name](config, annotation, x.ndim, seed)
    options = {"probe__groups": groups} if name == "mlp" else {}
    points = list(ParameterGrid(grid))
    if len(points) == 1:
        pipeline.set_params(**points[0]).fit(x, y, **options)
        return Fitted(pipeline, _plain(points[0]), (), _curves(pipeline))
    folds = _folds(config, annotation, groups, seed)
    scorer = METRICS[annotation] if annotation == LABEL else make_scorer(mean_ccc)
    search = GridSearchCV(pipeline, grid, scoring=scorer, cv=folds, error_score="raise")
    try:
        search.fit(x, y, groups=groups, **options)
    except ValueError as error:  # such as too few rows per class for the folds, or a fold with a single class
        raise ConfigError(f"{name} cannot be searched in probe.folds={config.folds} folds: {error}") from error
    found = search.cv_results_
    scores = zip(found["params"], found["mean_test_score"], found["std_test_score"], strict=True)
    tried = tuple(_plain(point) | {"mean": float(mean), "std": float(std)} for point, mean, std in scores)
    return Fitted(search.best_estimator_, _plain(search.best_params_), tried, _curves(search.best_estimator_))


def check_settings(config: ProbeConfig) -> None:
    """Reject empty settings, and settings outside their limits, before anything is computed.

    Raises:
      ConfigError: for such a setting; the message names it and its limit.
    """
    for name in ("probes", "reductions", "C", "widths", "dropouts"):
        if not getattr(config, name):
            raise ConfigError(f"config.probe.{name} is empty; give at least one")
    for limit, (holds, names) in _LIMITS.items():
        for name in names:
            for value in _numbers(getattr(config, name)):
                if not holds(value):
                    raise ConfigError(f"config.probe.{name} has {value:g}, which must be {limit}")


def mean_ccc(targets: Float[np.ndarray, "n k"], predictions: Float[np.ndarray, "n k"]) -> float:
    """Return the concordance correlation coefficient, averaged over targets."""
    columns = zip(np.asarray(predictions).T, np.asarray(targets).T, strict=True)
    return float(np.mean([agreement(found, target)["ccc"] for found, target in columns]))


def _folds(config: ProbeConfig, annotation: str, groups: np.ndarray, seed: int) -> Any:
    subjects = len(set(groups))
    if subjects < 2:
        raise ConfigError(
            f"a search in probe.folds={config.folds} folds needs at least 2 subjects, and the training rows have "
            f"{subjects}; give a single setting, or videos of more subjects"
        )
    if not 2 <= config.folds <= subjects:
        raise ConfigError(
            f"probe.folds={config.folds} for {subjects} subjects; choose 2 to {subjects}, or give a single setting"
        )
    if annotation == LABEL:
        return StratifiedGroupKFold(config.folds, shuffle=True, random_state=seed)
    return GroupKFold(config.folds)


def _numbers(value: Any) -> Iterator[float]:
    """Yield all numbers in a number, a tuple, or a tuple of tuples."""
    if isinstance(value, tuple):
        for part in value:
            yield from _numbers(part)
    else:
        yield value


def _plain(point: dict[str, Any]) -> dict[str, Any]:
    return {name.rsplit("__", 1)[-1]: value for name, value in point.items()}


def _curves(pipeline: Pipeline) -> tuple[dict[str, float], ...]:
    return tuple(getattr(pipeline.named_steps["probe"], "curves_", ()))
