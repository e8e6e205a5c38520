"""An MLP on frozen features, as an estimator for scikit-learn's pipelines and searches.

Sources: the probes that configs/probe_afew_va.py (hidden layers with ReLU and dropout, tanh, loss 1 - CCC) and
configs/probe_coin.py (softmax) follow.
"""

from __future__ import annotations

import abc
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.model_selection import GroupShuffleSplit

from vidjax.errors import ConfigError
from vidjax.evaluation.metrics.classification import confusion_matrix, precision_recall_f1
from vidjax.evaluation.metrics.regression import agreement
from vidjax.models.pooling import TokenWeighting
from vidjax.objectives.regression import concordance, moments


class MLP(nn.Module):
    """Dense layers with ReLU and dropout; tokens are first averaged with learned weights.

    Attributes:
      widths: widths of the hidden layers.
      outputs: number of outputs.
    """

    widths: tuple[int, ...]
    outputs: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *n d"], dropouts: Float[Array, " layers"], train: bool = False
    ) -> Float[Array, "b outputs"]:
        """Compute the outputs; in training, dropout draws from the stream "dropout".

        `dropouts` is an array so that a search over its values compiles once.
        """
        if x.ndim == 3:
            x = TokenWeighting()(x)
        x = x.astype(jnp.float32)
        for layer, width in enumerate(self.widths):
            x = nn.relu(nn.Dense(width)(x))
            if train:
                kept = jax.random.bernoulli(self.make_rng("dropout"), 1.0 - dropouts[layer], x.shape)
                x = jnp.where(kept, x / jnp.maximum(1.0 - dropouts[layer], 1e-6), 0.0)
        return nn.Dense(self.outputs)(x)


class Rows(NamedTuple):
    """Features, the labels or targets to predict from them, and which rows are not padding."""

    x: Float[Array, "m *n d"]
    y: Array
    valid: Bool[Array, " m"]


class _Problem(NamedTuple):
    """The static arguments of a compiled epoch."""

    module: MLP
    loss: Callable
    batch: int


class _Estimator(BaseEstimator, abc.ABC):
    """The base of both MLPs; a subclass defines the loss, the metrics of each epoch and the meaning of the outputs."""

    def __init__(  # noqa: PLR0913 - scikit-learn's searches set each one separately
        self,
        widths: tuple[int, ...] = (512, 256),
        dropouts: tuple[float, ...] = (0.5, 0.5),
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        batch: int = 256,
        epochs: int = 200,
        patience: int = 20,
        validation: float = 0.2,
        seed: int = 0,
    ):
        self.widths, self.dropouts, self.batch, self.epochs = widths, dropouts, batch, epochs
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.patience, self.validation, self.seed = patience, validation, seed

    @staticmethod
    @abc.abstractmethod
    def _loss(outputs: Array, known: Array, valid: Array) -> Array:
        """Compute the scalar loss over the `valid` rows."""

    @staticmethod
    @abc.abstractmethod
    def _figures(outputs: np.ndarray, known: np.ndarray) -> dict[str, float]:
        """Compute the metrics of an epoch other than the loss."""

    def _train(self, x: np.ndarray, y: np.ndarray, outputs: int, groups: np.ndarray | None) -> None:
        """Train, and keep the parameters of the epoch with the lowest validation loss; without validation, the last."""
        if len(self.widths) != len(self.dropouts):
            raise ConfigError(f"{len(self.dropouts)} dropouts for {len(self.widths)} hidden layers; give one for each")
        held = self._held_out(len(x), groups)
        parts = {"train": self._rows(x[~held], y[~held])}
        if held.any():
            parts["val"] = self._rows(x[held], y[held])
        judged = "val" if held.any() else "train"
        self._module = MLP(tuple(self.widths), outputs)
        key, dropouts = jax.random.key(self.seed), jnp.asarray(self.dropouts, jnp.float32)
        params = self._module.init(key, parts["train"].x[:1], dropouts)["params"]
        knobs = {"rate": self.learning_rate, "decay": self.weight_decay, "dropouts": dropouts}
        state, lowest = (params, optax.adamw(0.0).init(params)), np.inf
        problem = _Problem(self._module, self._loss, self.batch)
        self.curves_: list[dict[str, float]] = []
        for epoch in range(1, self.epochs + 1):
            state = _epoch(state, jax.random.fold_in(key, epoch), parts["train"], knobs, problem)
            line: dict[str, float] = {"epoch": epoch}
            for name, rows in parts.items():
                line |= {f"{name}/{figure}": value for figure, value in self._judge(state[0], rows).items()}
            self.curves_.append(line)
            if not math.isfinite(line[f"{judged}/loss"]) and (judged == "train" or lowest == np.inf):
                rate = self.learning_rate
                raise ConfigError(f"the loss of epoch {epoch} is not finite; lower probe.learning_rate={rate:g}")
            if judged == "train" or line["val/loss"] < lowest:
                lowest, self.epoch_, self.params_ = line[f"{judged}/loss"], epoch, state[0]
            if self.patience and judged == "val" and epoch - self.epoch_ >= self.patience:
                return

    def _held_out(self, count: int, groups: np.ndarray | None) -> Bool[np.ndarray, " n"]:
        held = np.zeros(count, bool)
        groups = np.arange(count) if groups is None else np.asarray(groups)
        if self.validation:
            subjects = len(set(groups))
            if subjects < 2:
                raise ConfigError(
                    f"all {count} training rows belong to one subject, so none can be held out; use probe.validation=0"
                )
            if math.ceil(self.validation * subjects) >= subjects:
                raise ConfigError(
                    f"probe.validation={self.validation:g} of {subjects} subjects leaves none to train on; lower it"
                )
            split = GroupShuffleSplit(1, test_size=self.validation, random_state=self.seed)
            held[next(split.split(held, groups=groups))[1]] = True
        return held

    def _rows(self, x: np.ndarray, y: np.ndarray) -> Rows:
        """Pad rows to whole batches, so that the folds of a cross-validation have few shapes to compile for."""
        extra = -len(x) % self.batch
        padded = (np.concatenate([part, np.zeros((extra, *part.shape[1:]), part.dtype)]) for part in (x, y))
        return Rows(*jax.device_put((*padded, np.arange(len(x) + extra) < len(x))))

    def _judge(self, params: Any, rows: Rows) -> dict[str, float]:
        outputs = _apply(params, rows.x, module=self._module, batch=self.batch)
        loss, count = float(self._loss(outputs, rows.y, rows.valid)), int(rows.valid.sum())
        return {"loss": loss} | self._figures(np.asarray(outputs)[:count], np.asarray(rows.y)[:count])

    def _outputs(self, x: np.ndarray) -> Float[np.ndarray, "n outputs"]:
        rows = self._rows(np.asarray(x), np.zeros(len(x), np.float32))
        return np.asarray(_apply(self.params_, rows.x, module=self._module, batch=self.batch))[: len(x)]


class MLPClassifier(ClassifierMixin, _Estimator):
    """Predict classes, after training with softmax cross-entropy.

    Attributes:
      classes_: labels in the order of the outputs.
      curves_: one dict per epoch: epoch, and {train,val}/{loss,accuracy,f1_macro}, computed without dropout.
      epoch_: the epoch whose parameters are kept.
    """

    def fit(
        self, X: Float[np.ndarray, "n *t d"], y: Int[np.ndarray, " n"], groups: np.ndarray | None = None
    ) -> MLPClassifier:
        """Train; the rows of a group are either all trained on or all held out."""
        self.classes_, numbers = np.unique(y, return_inverse=True)
        self._train(np.asarray(X), numbers.astype(np.int32), len(self.classes_), groups)
        return self

    def predict(self, X: Float[np.ndarray, "n *t d"]) -> Int[np.ndarray, " n"]:
        """Predict the likeliest label of each row."""
        return self.classes_[self._outputs(X).argmax(axis=1)]

    @staticmethod
    def _loss(outputs, known, valid):
        losses = optax.softmax_cross_entropy_with_integer_labels(outputs, known)
        return (losses * valid).sum() / jnp.maximum(valid.sum(), 1)

    @staticmethod
    def _figures(outputs, known):
        classes = outputs.shape[1]
        matrix = confusion_matrix(known, outputs.argmax(axis=1), classes)
        f1 = precision_recall_f1(matrix, np.zeros(classes, int))["f1_macro"]
        return {"accuracy": float(np.trace(matrix) / matrix.sum()), "f1_macro": f1}


class MLPRegressor(RegressorMixin, _Estimator):
    """Predict numbers in [-1, 1], the tanh of the outputs, after training with 1 minus the mean CCC over a batch.

    Attributes:
      curves_: one dict per epoch: epoch, and {train,val}/{loss,ccc}, computed without dropout.
      epoch_: the epoch whose parameters are kept.
    """

    def fit(
        self, X: Float[np.ndarray, "n *t d"], y: Float[np.ndarray, "n k"], groups: np.ndarray | None = None
    ) -> MLPRegressor:
        """Train; the rows of a group are either all trained on or all held out.

        Raises:
          ConfigError: for targets outside of [-1, 1].
        """
        y = np.asarray(y, np.float32)
        if np.abs(y).max() > 1:
            raise ConfigError(
                f"a target is {y.flat[np.abs(y).argmax()]:g}, but tanh lies between -1 and 1; scale targets to [-1, 1]"
            )
        self._train(np.asarray(X), y, y.shape[1], groups)
        return self

    def predict(self, X: Float[np.ndarray, "n *t d"]) -> Float[np.ndarray, "n k"]:
        """Predict the targets of each row."""
        return np.tanh(self._outputs(X))

    @staticmethod
    def _loss(outputs, known, valid):
        return 1.0 - concordance(moments(jnp.tanh(outputs), known, valid)).mean()

    @staticmethod
    def _figures(outputs, known):
        each = [agreement(np.tanh(column), target)["ccc"] for column, target in zip(outputs.T, known.T, strict=True)]
        return {"ccc": float(np.mean(each))}


@functools.partial(jax.jit, static_argnames="problem")
def _epoch(state, key, rows: Rows, knobs: dict, problem: _Problem):
    """Train on every row once, in random order; compiled once for each shape of the rows and widths of the MLP."""
    module, loss, batch = problem
    tx = optax.adamw(knobs["rate"], weight_decay=knobs["decay"])
    order, dropout = jax.random.split(key)
    places = jax.random.permutation(order, len(rows.valid)).reshape(-1, batch)

    def step(state, at):
        params, opt_state = state
        places, key = at
        x, y, valid = (part[places] for part in rows)

        def lost(params):
            outputs = module.apply({"params": params}, x, knobs["dropouts"], train=True, rngs={"dropout": key})
            return loss(outputs, y, valid)

        updates, opt_state = tx.update(jax.grad(lost)(params), opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), None

    return jax.lax.scan(step, state, (places, jax.random.split(dropout, len(places))))[0]


@functools.partial(jax.jit, static_argnames=("module", "batch"))
def _apply(params, x, *, module: MLP, batch: int):
    """Compute the outputs of all rows, a batch at a time."""
    parts = x.reshape(-1, batch, *x.shape[1:])
    outputs = jax.lax.map(lambda part: module.apply({"params": params}, part, jnp.zeros(0)), parts)
    return outputs.reshape(-1, outputs.shape[-1])
