"""What a run leaves for people beside its numbers: the names of its classes, pictures, a report."""

from __future__ import annotations

import json
from pathlib import Path

import jax
from jax.sharding import Mesh

from vidjax.config import Config
from vidjax.data.open import open_source
from vidjax.errors import DataError
from vidjax.objectives.base import Reconstructing
from vidjax.training.telemetry import say
from vidjax.viz.reconstruction import reconstruct_held_out
from vidjax.viz.report import PICTURES, write_run_report
from vidjax.weights.runs import LABELS


def save_labels(workdir: Path, labels: tuple[str, ...] | None) -> None:
    """Write the class names, in the order of the model's outputs, where the data has names."""
    if labels and jax.process_index() == 0:
        (workdir / LABELS).write_text(json.dumps(labels, indent=1) + "\n")


def check_labels(run: Path, labels: tuple[str, ...] | None) -> None:
    """Refuse to score a run on data whose class numbers mean something else.

    Raises:
      DataError: when the run and the data both name their classes, and differently.
    """
    if not labels or not (run / LABELS).is_file():
        return
    trained = tuple(json.loads((run / LABELS).read_text()))
    if trained == tuple(labels):
        return
    pairs = list(zip(trained, labels, strict=False))
    number = next((n for n, (there, here) in enumerate(pairs) if there != here), len(pairs))
    names = [repr(of[number]) if number < len(of) else "missing" for of in (trained, labels)]
    raise DataError(
        f"class {number} is {names[0]} in {run / LABELS} and {names[1]} in the data; "
        "evaluate on data with the classes the run was trained with"
    )


def draw(config: Config, objective, params, mesh: Mesh, workdir: Path) -> None:
    """Reconstruct clips of the evaluation split, for an objective that can; every process calls it."""
    if not isinstance(objective, Reconstructing):
        return
    try:
        source = open_source(config.data, config.data.eval_split)
    except DataError as error:
        say(f"no pictures of reconstructions, for lack of an evaluation split: {error}")
        return
    reconstruct_held_out(objective, params, source, config, mesh, workdir / PICTURES)


def report(workdir: Path) -> None:
    """Write report.md from what is in the folder; by the first process only."""
    if jax.process_index() == 0:
        say(f"report: {write_run_report(workdir)}")
