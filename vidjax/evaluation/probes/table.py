"""Backbones x reductions x probes: fit and score every probe on every reduction of every backbone's features.

Probes are fitted to the decoded rows of the training stores and scored on all rows of the test stores. A row without
features counts as wrong, or as a prediction of 0, as in every evaluation of vidjax.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vidjax.config import ProbeConfig
from vidjax.data.sources.annotations import LABEL, NOTHING, TARGET
from vidjax.errors import ConfigError, DataError
from vidjax.evaluation.features.reductions import WEIGHTED, array_of, reduce
from vidjax.evaluation.features.store import FeatureStore, check_pair
from vidjax.evaluation.metrics.classification import confusion_matrix, precision_recall_f1
from vidjax.evaluation.metrics.regression import FIGURES, summarise_regression
from vidjax.evaluation.probes.cross_validation import TrainingRows, check_settings, fit_probe
from vidjax.evaluation.probes.estimators import PROBES
from vidjax.viz.result_table import in_column

Pair = tuple[FeatureStore, FeatureStore]
SHOWN = {LABEL: ("accuracy", "f1_macro", "f1_micro"), TARGET: FIGURES}
HEADS = {LABEL: ("accuracy", "macro F1", "micro F1"), TARGET: tuple(map(str.upper, FIGURES))}


@dataclasses.dataclass(frozen=True)
class Line:
    """One probe on one reduction of one backbone's features.

    Attributes:
      figures: the scores on the test rows, by name.
      settings, points, curves: see `vidjax.evaluation.probes.cross_validation.Fitted`.
      predictions: the label or numbers predicted for each test row that has features.
    """

    backbone: str
    reduction: str
    probe: str
    figures: Mapping[str, float | int | str]
    settings: Mapping[str, Any]
    points: Sequence[Mapping[str, Any]]
    curves: Sequence[Mapping[str, float]]
    predictions: np.ndarray

    @property
    def name(self) -> str:
        """The name of the line's results: backbone/reduction/probe."""
        return f"{self.backbone}/{self.reduction}/{self.probe}"


def fit_all(
    pairs: Mapping[str, Pair], config: ProbeConfig, annotation: str, seed: int, say: Callable[[str], None]
) -> Iterator[Line]:
    """Fit and score all probes and reductions of `config`, except reductions whose array a backbone lacks.

    Args:
      pairs: the training and test store of each backbone, by name.
      annotation: the annotation to learn, one of `vidjax.evaluation.probes.cross_validation.PROBED`.
      say: called with a sentence for each reduction that is left out.

    Raises:
      ConfigError, DataError: from `check_settings`, `check_pairs`, a probe or a reduction.
    """
    check_settings(config)
    if unstored := [name for name in config.probes if name not in PROBES]:
        raise ConfigError(
            f"{unstored[0]} probes are trained on videos, because otherwise all tokens of all clips would have to be "
            "stored: use --config.mode=probe"
        )
    check_pairs(pairs, annotation)
    if WEIGHTED in config.reductions and "mlp" not in config.probes:
        say(f"{WEIGHTED} is only for mlp, so it is left out")
    for backbone, (train, test) in pairs.items():
        for reduction in config.reductions:
            if array_of(reduction, config) not in train.header.arrays:
                say(f"{backbone} has no {array_of(reduction, config)}, so {reduction} is left out for it")
                continue
            names = [name for name in config.probes if name == "mlp" or reduction != WEIGHTED]
            if not names:
                continue
            features = reduce(reduction, config, train, test, seed)
            known, groups = annotated(train, annotation)[train.decoded], train.groups[train.decoded]
            for name in names:
                fitted = fit_probe(name, TrainingRows(features[0], known, groups), config, annotation, seed)
                found = fitted.pipeline.predict(features[1])
                figures = score(found, test.decoded, test, annotation)
                kept = fitted.settings, fitted.points, fitted.curves
                yield Line(backbone, reduction, name, figures, *kept, found)


def check_pairs(pairs: Mapping[str, Pair], annotation: str) -> None:
    """Reject stores that do not allow a fair comparison.

    Raises:
      ConfigError: if a training and a test store do not match, the backbones have different rows, or rows lack the
        annotation.
      DataError: if a class occurs only in the test rows, all training rows have the same class, a subject is in both
        stores, or none of a store's rows has features.
    """
    first = next(iter(pairs.values()), None)
    if first is None:
        raise ConfigError("there are no features to probe; name backbones with probe.backbones")
    for pair in pairs.values():
        check_pair(*pair)
        for ours, store in zip(first, pair, strict=True):
            if store.ids != ours.ids or not np.array_equal(annotated(store, annotation), annotated(ours, annotation)):
                raise ConfigError(f"{store.folder} and {ours.folder} have different rows; embed the same data split")
        _check_split(*pair, annotation)


def _check_split(train: FeatureStore, test: FeatureStore, annotation: str) -> None:
    for store in (train, test):
        if not store.decoded.any():
            raise DataError(f"none of the {len(store)} rows of {store.folder} has features; embed readable videos")
    both = sorted(set(train.groups.tolist()) & set(test.groups.tolist()))
    if both:
        raise DataError(
            f"{both[0]!r} is in both {train.folder} and {test.folder} ({len(both)} such subjects); a subject may be in "
            "only one of them"
        )
    if annotation == LABEL:
        unseen = sorted(set(test.labels) - set(train.labels[train.decoded]))
        if unseen:
            raise DataError(
                f"class {class_name(test, unseen[0])!r} of {int((test.labels == unseen[0]).sum())} rows of "
                f"{test.folder} does not occur in {train.folder}; leave it out, or train on it too"
            )
        if len(there := set(train.labels[train.decoded])) < 2:
            raise DataError(
                f"all rows of {train.folder} have class {class_name(train, there.pop())!r}; add rows of other classes"
            )


def annotated(store: FeatureStore, annotation: str) -> np.ndarray:
    """Return the annotation to learn: labels (n,), or targets (n k).

    Raises:
      ConfigError: if the rows have no targets, or no classes.
    """
    if annotation == LABEL:
        if store.header.data["annotation"] == NOTHING:
            raise ConfigError(
                f"the rows of {store.folder} have no classes; embed videos from class folders or from a list"
            )
        return store.labels
    if not store.targets.shape[1]:
        raise ConfigError(f"the rows of {store.folder} have classes but no numbers to predict; use classification")
    return store.targets


def score(found: np.ndarray, scored: np.ndarray, test: FeatureStore, annotation: str) -> dict[str, float | int | str]:
    """Return the metrics of some predictions.

    Args:
      found: predictions for the test rows that are `scored` (n,); the others count as wrong, or as predictions of 0.
    """
    if annotation == TARGET:
        predictions = np.zeros(test.targets.shape)
        predictions[scored] = found
        results = summarise_regression(predictions, test.targets, scored, test.header.data["labels"])
        kept = {name.removeprefix("eval/"): value for name, value in results.items()}
        return {name: value for name, value in kept.items() if not name.startswith(("constant_", "num_"))}
    classes = int(max(test.labels.max(), found.max())) + 1
    matrix = confusion_matrix(test.labels[scored], found, classes)
    figures = precision_recall_f1(matrix, np.bincount(test.labels[~scored], minlength=classes))
    return {
        "accuracy": float(np.trace(matrix) / len(test)),
        "accuracy_scored": float(np.trace(matrix) / matrix.sum()),
        "f1_macro": float(figures["f1_macro"]),
        "f1_micro": float(figures["f1_micro"]),
    }


def score_constant(test: FeatureStore, annotation: str) -> dict[str, float | int | str]:
    """Return the metrics of a constant prediction: the most frequent class or the mean target of the test rows."""
    constant = test.targets.mean(axis=0) if annotation == TARGET else np.bincount(test.labels).argmax()
    known = annotated(test, annotation)
    return score(np.broadcast_to(constant, known.shape), np.ones(len(test), bool), test, annotation)


def results_of(lines: Sequence[Line], pairs: Mapping[str, Pair], annotation: str) -> dict[str, float | int | str]:
    """Return flat results: probe/<backbone>/<reduction>/<probe>/<metric>, probe/constant/<metric>, and row counts."""
    test = next(iter(pairs.values()))[1]
    results = {f"probe/{line.name}/{name}": value for line in lines for name, value in line.figures.items()}
    results |= {f"probe/constant/{name}": value for name, value in score_constant(test, annotation).items()}
    scored = np.all([pair[1].decoded for pair in pairs.values()], axis=0)
    return results | {
        "probe/num_train": min(int(pair[0].decoded.sum()) for pair in pairs.values()),
        "eval/num_scored": int(scored.sum()),
        "eval/num_expected": len(test),
    }


def table(
    lines: Sequence[Line], pairs: Mapping[str, Pair], annotation: str
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return column names and rows of text: one row per line, and the constant last."""
    constant = score_constant(next(iter(pairs.values()))[1], annotation)

    def cells(figures):
        return tuple(in_column(name, figures[name]) for name in SHOWN[annotation])

    rows = [(line.backbone, line.reduction, line.probe, *cells(line.figures)) for line in lines]
    return ("backbone", "reduction", "probe", *HEADS[annotation]), [*rows, ("", "", "constant", *cells(constant))]


def class_name(store: FeatureStore, label: int) -> str:
    """Return the data's name for a class, or the class's number."""
    names = store.header.data["labels"] or ()
    return names[label] if label < len(names) else str(label)


def short_names(sources: Sequence[str]) -> tuple[str, ...]:
    """Return a name for each backbone: the last parts of its path, as many as are needed to tell all names apart.

    Each name can serve as a folder or file name: it contains no '/' or ':'.

    Raises:
      ConfigError: if a backbone is given twice.
    """
    parts = [pathlib.Path(os.path.abspath(source)).parts for source in sources]
    for depth in range(1, max(map(len, parts), default=0) + 1):
        names = tuple("-".join(each[-depth:]).replace(":", "-").strip("/") for each in parts)
        if len(set(names)) == len(names):
            return names
    twice = next((source for source, own in zip(sources, parts, strict=True) if parts.count(own) > 1), "")
    raise ConfigError(f"the backbone {twice!r} is given twice; give each once")
