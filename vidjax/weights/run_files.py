"""The small files of a run's folder: what they are called, and how its class names are written, read and compared."""

from __future__ import annotations

import os

from vidjax.errors import DataError, ResumeError
from vidjax.files import located, read_json, write_json

CHECKPOINTS = "checkpoints"
CONFIG = "config.json"
DATA = "data.json"  # what the run was trained and validated on
LABELS = "labels.json"
METRICS = "metrics.jsonl"
RESULTS = "results.json"


def is_run(folder: str | os.PathLike) -> bool:
    """Whether a folder is that of a run that has saved checkpoints."""
    return (located(folder) / CHECKPOINTS).is_dir()


def check_saved(folder: str | os.PathLike) -> None:
    """Refuse a run that has saved no checkpoint.

    Raises:
      ResumeError: with what helps.
    """
    if not any(path.name.isdigit() for path in (located(folder) / CHECKPOINTS).glob("*")):
        raise ResumeError(
            f"{folder} holds no checkpoint; wait until its run has saved one, or give the workdir of a run that has"
        )


def write_labels(workdir: str | os.PathLike, labels: tuple[str, ...] | None) -> None:
    """Write the class names, in the order of the model's outputs, where the data has names."""
    if labels:
        write_json(located(workdir) / LABELS, labels)


def read_labels(workdir: str | os.PathLike) -> tuple[str, ...] | None:
    """The class names of a run, where its data had names.

    Raises:
      DataError: when the file of the names is damaged.
    """
    path = located(workdir) / LABELS
    if not path.is_file():
        return None
    names = read_json(path)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(
            f"{path} is damaged: start its run again, which writes it anew, or delete it to do without names"
        )
    return tuple(names)


def check_labels(workdir: str | os.PathLike, labels: tuple[str, ...] | None) -> None:
    """Refuse to score a run on data whose class numbers mean something else.

    Raises:
      DataError: when the run and the data both name their classes, and differently.
    """
    trained = read_labels(workdir)
    if not labels or trained is None or trained == tuple(labels):
        return
    pairs = list(zip(trained, labels, strict=False))
    number = next((n for n, (there, here) in enumerate(pairs) if there != here), len(pairs))
    names = [repr(of[number]) if number < len(of) else "missing" for of in (trained, labels)]
    raise DataError(
        f"class {number} is {names[0]} in {located(workdir) / LABELS} and {names[1]} in the data; "
        "evaluate on data with the classes the run was trained with"
    )
