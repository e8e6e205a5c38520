"""The estimators that probe frozen features: linear, SVM, nearest neighbours and MLP, as scikit-learn pipelines.

Features are standardised over the rows that a probe is fitted to, except for nearest neighbours, which compare
directions (Wu et al. 2018).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from vidjax.config import ProbeConfig
from vidjax.data.sources.annotations import LABEL
from vidjax.errors import ConfigError
from vidjax.evaluation.probes.knn import check_neighbours, knn_average, knn_classify
from vidjax.evaluation.probes.mlp import MLPClassifier, MLPRegressor


class TokenScaler(TransformerMixin, BaseEstimator):
    """Standardise the channels of tokens over all tokens of all rows, and keep their dtype."""

    def fit(self, X: Float[np.ndarray, "n t d"], y: Any = None) -> TokenScaler:
        """Accumulate mean and standard deviation row by row, because tokens are large."""
        self.scaler_ = StandardScaler()
        for row in X:
            self.scaler_.partial_fit(np.asarray(row, np.float64))
        return self

    def transform(self, X: Float[np.ndarray, "n t d"]) -> Float[np.ndarray, "n t d"]:
        """Return a standardised copy of the tokens."""
        mean, scale = (np.asarray(part, X.dtype) for part in (self.scaler_.mean_, self.scaler_.scale_))
        return (X - mean) / scale


class NeighbourClassifier(ClassifierMixin, BaseEstimator):
    """Predict the label with the most weighted votes; see `vidjax.evaluation.probes.knn.knn_classify`."""

    def __init__(self, k: int = 5, temperature: float = 0.07):
        self.k, self.temperature = k, temperature

    def fit(self, X: Float[np.ndarray, "n d"], y: np.ndarray) -> NeighbourClassifier:
        """Keep the features."""
        check_neighbours(self.k, len(X))
        self.classes_, self.numbers_ = np.unique(y, return_inverse=True)
        self.features_ = np.asarray(X, np.float32)
        return self

    def predict(self, X: Float[np.ndarray, "m d"]) -> np.ndarray:
        """Predict the label of each row."""
        options = {"k": self.k, "temperature": self.temperature, "classes": len(self.classes_)}
        return self.classes_[np.asarray(knn_classify(self.features_, self.numbers_, np.float32(X), **options))]


class NeighbourRegressor(RegressorMixin, BaseEstimator):
    """Predict the weighted mean target of the nearest rows; see `vidjax.evaluation.probes.knn.knn_average`."""

    def __init__(self, k: int = 5, temperature: float = 0.07):
        self.k, self.temperature = k, temperature

    def fit(self, X: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n k"]) -> NeighbourRegressor:
        """Keep the features."""
        check_neighbours(self.k, len(X))
        self.features_, self.targets_ = np.asarray(X, np.float32), np.asarray(y, np.float32)
        return self

    def predict(self, X: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m k"]:
        """Predict the targets of each row."""
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
            raise ConfigError(
                f"probe.dropouts has no entry of {len(widths)} rates, one per hidden layer of probe.widths={widths}"
            )
        grid.append({"probe__widths": [widths], "probe__dropouts": fitting})
    return _scaled(probe, TokenScaler() if ndim == 3 else StandardScaler()), grid


PROBES = {"linear": _linear, "svm": _svm, "knn": _knn, "mlp": _mlp}


def _scaled(probe: Any, scaler: Any = None) -> Pipeline:
    return Pipeline([("scale", scaler or StandardScaler()), ("probe", probe)])
