"""Linear, SVM, nearest neighbours, MLP: what is fitted to frozen features, and how its settings are searched.

All are scikit-learn's pipelines. Features are standardised by the rows that a probe is fitted to, but for nearest
neighbours, which compare directions (Wu et al. 2018).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold, ParameterGrid, StratifiedGroupKFold
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from vidjax.config import ProbeConfig
from vidjax.data.sources.annotations import LABEL, TARGET
from vidjax.errors import ConfigError
from vidjax.evaluation.metrics.regression import agreement
from vidjax.evaluation.probes.knn import check_neighbours, knn_average, knn_classify
from vidjax.evaluation.probes.mlp import MLPClassifier, MLPRegressor

PROBED = (LABEL, TARGET)  # what rows must carry for a probe to be fitted
_LIMITS = {  # in words, as a condition, and for which settings
    "above 0": (lambda value: value > 0, ("C", "temperature", "widths", "learning_rate")),
    "at least 0": (lambda value: value >= 0, ("weight_decay", "patience")),
    "at least 0 and below 1": (lambda value: 0 <= value < 1, ("dropouts", "validation")),
}


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A probe that was fitted to all training rows.

    Attributes:
      pipeline: has `predict`.
      settings: of the grid, by name.
      points: of a search: all settings tried, each with the `mean` and `std` of the figure over the folds; else empty.
      curves: of an MLP, one line per epoch; else empty.
    """

    pipeline: Pipeline
    settings: dict[str, Any]
    points: tuple[dict[str, Any], ...]
    curves: tuple[dict[str, float], ...]


@dataclasses.dataclass(frozen=True)
class TrainingRows:
    """What a probe is fitted to.

    Attributes:
      x: features; y: labels (n,), or targets (n k).
      groups: (n,) subjects, whose rows stay together in every fold and in the MLP's validation part.
    """

    x: Float[np.ndarray, "n *t d"]
    y: np.ndarray
    groups: np.ndarray


def fit_probe(name: str, rows: TrainingRows, config: ProbeConfig, annotation: str, seed: int) -> Fitted:
    """Fit a probe, after a search by grouped cross-validation where there is more than one point in its grid.

    Args:
      name: linear, svm, knn or mlp.

    Raises:
      ConfigError: for fewer subjects than folds, fewer rows than neighbours, settings that do not fit each other.
    """
    x, y, groups = rows.x, rows.y, rows.groups
    pipeline, grid = PROBES[name](config, annotation, x.ndim, seed)
    options = {"probe__groups": groups} if name == "mlp" else {}
    points = list(ParameterGrid(grid))
    if len(points) == 1:
        pipeline.set_params(**points[0]).fit(x, y, **options)
        return Fitted(pipeline, _plain(points[0]), (), _curves(pipeline))
    folds = _folds(config, annotation, groups, seed)
    scorer = "f1_macro" if annotation == LABEL else make_scorer(mean_ccc)
    search = GridSearchCV(pipeline, grid, scoring=scorer, cv=folds, error_score="raise")
    try:
        search.fit(x, y, groups=groups, **options)
    except ValueError as error:  # scikit-learn's sentence tells which class has too few rows for a fold
        raise ConfigError(f"{name} cannot be searched in probe.folds={config.folds} folds: {error}") from error
    found = search.cv_results_
    scores = zip(found["params"], found["mean_test_score"], found["std_test_score"], strict=True)
    tried = tuple(_plain(point) | {"mean": float(mean), "std": float(std)} for point, mean, std in scores)
    return Fitted(search.best_estimator_, _plain(search.best_params_), tried, _curves(search.best_estimator_))


def check_settings(config: ProbeConfig) -> None:
    """Refuse what nothing can be fitted with, before anything is computed.

    Raises:
      ConfigError: naming the setting and its limit.
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
    """The concordance correlation coefficient, averaged over targets."""
    columns = zip(np.asarray(predictions).T, np.asarray(targets).T, strict=True)
    return float(np.mean([agreement(found, target)["ccc"] for found, target in columns]))


class TokenScaler(TransformerMixin, BaseEstimator):
    """Standardises the channels of tokens over all tokens of all rows, and keeps their dtype."""

    def fit(self, X: Float[np.ndarray, "n t d"], y: Any = None) -> TokenScaler:
        """Take mean and std, row by row, as tokens are large."""
        self.scaler_ = StandardScaler()
        for row in X:
            self.scaler_.partial_fit(np.asarray(row, np.float64))
        return self

    def transform(self, X: Float[np.ndarray, "n t d"]) -> Float[np.ndarray, "n t d"]:
        """The standardised tokens, a copy."""
        mean, scale = (np.asarray(part, X.dtype) for part in (self.scaler_.mean_, self.scaler_.scale_))
        return (X - mean) / scale


class NeighbourClassifier(ClassifierMixin, BaseEstimator):
    """The label with most weighted votes of the k nearest; see `vidjax.evaluation.probes.knn.knn_classify`."""

    def __init__(self, k: int = 5, temperature: float = 0.07):
        self.k, self.temperature = k, temperature

    def fit(self, X: Float[np.ndarray, "n d"], y: np.ndarray) -> NeighbourClassifier:
        """Keep the features."""
        check_neighbours(self.k, len(X))
        self.classes_, self.numbers_ = np.unique(y, return_inverse=True)
        self.features_ = np.asarray(X, np.float32)
        return self

    def predict(self, X: Float[np.ndarray, "m d"]) -> np.ndarray:
        """The label of each row."""
        options = {"k": self.k, "temperature": self.temperature, "classes": len(self.classes_)}
        return self.classes_[np.asarray(knn_classify(self.features_, self.numbers_, np.float32(X), **options))]


class NeighbourRegressor(RegressorMixin, BaseEstimator):
    """The weighted mean of the targets of the k nearest; see `vidjax.evaluation.probes.knn.knn_average`."""

    def __init__(self, k: int = 5, temperature: float = 0.07):
        self.k, self.temperature = k, temperature

    def fit(self, X: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n k"]) -> NeighbourRegressor:
        """Keep the features."""
        check_neighbours(self.k, len(X))
        self.features_, self.targets_ = np.asarray(X, np.float32), np.asarray(y, np.float32)
        return self

    def predict(self, X: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m k"]:
        """The numbers of each row."""
        found = knn_average(self.features_, self.targets_, np.float32(X), k=self.k, temperature=self.temperature)
        return np.asarray(found)


def _linear(config: ProbeConfig, annotation: str, ndim: int, seed: int) -> tuple[Pipeline, Any]:
    if annotation == LABEL:
        return _scaled(LogisticRegression(max_iter=2000, random_state=seed)), {"probe__C": config.C}
    return _scaled(Ridge()), {"probe__alpha": [1 / c for c in config.C]}


def _svm(config: ProbeConfig, annotation: str, ndim: int, seed: int) -> tuple[Pipeline, Any]:
    if annotation == LABEL:
        return _scaled(SVC(kernel=config.kernel, random_state=seed)), {"probe__C": config.C}
    return _scaled(MultiOutputRegressor(SVR(kernel=config.kernel))), {"probe__estimator__C": config.C}


def _knn(config: ProbeConfig, annotation: str, ndim: int, seed: int) -> tuple[Pipeline, Any]:
    kind = NeighbourClassifier if annotation == LABEL else NeighbourRegressor
    return Pipeline([("probe", kind(config.k, config.temperature))]), {}


def _mlp(config: ProbeConfig, annotation: str, ndim: int, seed: int) -> tuple[Pipeline, Any]:
    same = ("learning_rate", "weight_decay", "batch", "epochs", "patience", "validation")
    kind = MLPClassifier if annotation == LABEL else MLPRegressor
    probe = kind(**{name: getattr(config, name) for name in same}, seed=seed)
    grid = []
    for widths in config.widths:
        fitting = [dropouts for dropouts in config.dropouts if len(dropouts) == len(widths)]
        if not fitting:
            raise ConfigError(f"probe.dropouts has none for the {len(widths)} hidden layers of probe.widths={widths}")
        grid.append({"probe__widths": [widths], "probe__dropouts": fitting})
    return _scaled(probe, TokenScaler() if ndim == 3 else StandardScaler()), grid


PROBES = {"linear": _linear, "svm": _svm, "knn": _knn, "mlp": _mlp}


def _scaled(probe: Any, scaler: Any = None) -> Pipeline:
    return Pipeline([("scale", scaler or StandardScaler()), ("probe", probe)])


def _folds(config: ProbeConfig, annotation: str, groups: np.ndarray, seed: int) -> Any:
    subjects = len(set(groups))
    if not 2 <= config.folds <= subjects:
        raise ConfigError(
            f"probe.folds={config.folds} of rows of {subjects} subjects; choose 2 to {subjects}, or give one setting"
        )
    if annotation == LABEL:
        return StratifiedGroupKFold(config.folds, shuffle=True, random_state=seed)
    return GroupKFold(config.folds)


def _numbers(value: Any) -> Iterator[float]:
    """All numbers of a number, of a tuple, or of a tuple of tuples."""
    if isinstance(value, tuple):
        for part in value:
            yield from _numbers(part)
    else:
        yield value


def _plain(point: dict[str, Any]) -> dict[str, Any]:
    return {name.rsplit("__", 1)[-1]: value for name, value in point.items()}


def _curves(pipeline: Pipeline) -> tuple[dict[str, float], ...]:
    return tuple(getattr(pipeline.named_steps["probe"], "curves_", ()))
