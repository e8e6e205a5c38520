"""`vidjax probe`: fit probes to features that `vidjax embed` stored, and score them on other features.

It prints a table of backbones x reductions x probes and the best constant prediction, and writes results.json and a
report.
Videos without features count as wrong, or in regression as predictions of 0, and the exit code is then 3.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
from typing import Any

from vidjax.cli import paths
from vidjax.cli.terminal import print_json, say
from vidjax.cli.verb import Verb
from vidjax.errors import ConfigError
from vidjax.files import located

SOME_FAILED = 3
OPTIONS = {  # keys of config.probe, which gives the defaults
    "reductions": "comma-separated: token_mean, token_max, width_mean, cls, pooled, embedding, tokens, pca, "
    "weighted_tokens; default: all stored arrays except tokens",
    "probes": "comma-separated: linear, svm, knn, mlp",
    "pca_of": "pca: the array to decompose",
    "components": "pca: number of components",
    "C": "linear, svm: inverse of the penalty; several, comma-separated, are searched",
    "kernel": "svm: rbf or linear",
    "k": "knn: number of neighbours",
    "temperature": "knn: temperature of the vote",
    "widths": "mlp: widths of the hidden layers, such as 512,256; several, separated by semicolons, are searched",
    "dropouts": "mlp: dropout after each hidden layer, searched likewise",
    "batch": "mlp: rows per step",
    "learning_rate": "mlp: learning rate",
    "weight_decay": "mlp: weight decay",
    "epochs": "mlp: epochs at most",
    "patience": "mlp: epochs without progress before it stops; 0 never stops early",
    "validation": "mlp: share of the training rows held out for early stopping",
    "folds": "folds of cross-validation in a search",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    about = "features to fit; one folder per backbone"
    add("--train", required=True, nargs="+", metavar="FEATURES", help=about)
    add("--test", required=True, nargs="+", metavar="FEATURES", help="features to score on, in the same order")
    add("--out", required=True, metavar="DIR", help="the folder of the results and the report")
    about = "default: regression if rows have numeric targets"
    add("--task", default="", choices=("classification", "regression"), help=about)
    add("--seed", type=int, default=0, help="random seed")
    for name, about in OPTIONS.items():
        add(f"--{name.replace('_', '-')}", default="", help=about)
    add("--json", action="store_true", help="print the results as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Fit, score, write and print; return 3 if a test row has no features."""
    if len(arguments.train) != len(arguments.test):
        raise ConfigError(f"{len(arguments.train)} folders of --train and {len(arguments.test)} of --test; give pairs")
    paths.check_writable(arguments.out)
    from vidjax.evaluation.features.store import FeatureStore
    from vidjax.evaluation.probes.fit_and_report import print_table, probe_features
    from vidjax.evaluation.probes.table import short_names
    from vidjax.tasks import TASKS

    folders = zip(arguments.train, arguments.test, strict=True)
    stores = [(FeatureStore.open(train), FeatureStore.open(test)) for train, test in folders]
    pairs = dict(zip(short_names([train.header.backbone["source"] for train, _ in stores]), stores, strict=True))
    task = arguments.task or ("regression" if stores[0][0].targets.shape[1] else "classification")
    config = _config(arguments, task, stores)
    found = probe_features(pairs, TASKS[task].annotation, config, located(arguments.out), say)
    if arguments.json:
        print_json(found.results)
    else:
        print_table(*found.table)
    say(f"report: {found.report}")
    return SOME_FAILED if found.results["eval/num_scored"] != found.results["eval/num_expected"] else 0


def _config(arguments: argparse.Namespace, task: str, stores: list) -> Any:
    """Build and check the configuration; --reductions defaults to all stored arrays except the tokens."""
    from vidjax.config import Config, from_dict

    tree: dict[str, Any] = dataclasses.asdict(Config(mode="probe", task=task, seed=arguments.seed))
    tree["probe"]["backbones"] = tuple(train.header.backbone["source"] for train, _ in stores)
    stored = dict.fromkeys(name for train, _ in stores for name in train.header.arrays)
    tree["probe"]["reductions"] = tuple(name for name in stored if name != "tokens") or ("tokens",)
    for name in OPTIONS:
        if text := getattr(arguments, name):
            tree["probe"][name] = _value(name, text, tree["probe"][name])
    return from_dict(tree)


def _value(name: str, text: str, usual: Any) -> Any:
    """Parse an option as the type of its default.

    Raises:
      ConfigError: when it cannot be parsed.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if isinstance(usual, str):
        return text
    if isinstance(usual, tuple) and isinstance(usual[0], str):
        return tuple(words)
    try:
        if not isinstance(usual, tuple):
            return ast.literal_eval(text)
        if isinstance(usual[0], tuple):
            return tuple(tuple(map(ast.literal_eval, part.split(","))) for part in text.split(";"))
        return tuple(map(ast.literal_eval, words))
    except (ValueError, SyntaxError) as error:
        raise ConfigError(f"--{name.replace('_', '-')}={text!r} is not a number or list of numbers") from error


VERB = Verb(
    __doc__,
    add_arguments,
    run,
    "vidjax probe --train=features/train --test=features/val --probes=linear,knn --out=runs/probe",
)
