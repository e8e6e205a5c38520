"""The names of files in a run's folder, and functions that read, write and check the run's class names."""

from __future__ import annotations

import os

from vidjax.errors import DataError, ResumeError
from vidjax.files import located, read_json, write_json

CHECKPOINTS = "checkpoints"
CONFIG = "config.json"
DATA = "data.json"  # describes the videos that the run was trained and validated on
LABELS = "labels.json"
METRICS = "metrics.jsonl"
RESULTS = "results.json"


def is_run(folder: str | os.PathLike) -> bool:
    """Return whether a folder is a run's folder, that is, has a folder of checkpoints."""
    return (located(folder) / CHECKPOINTS).is_dir()


def check_saved(folder: str | os.PathLike) -> None:
    """Reject a run that has not saved a checkpoint.

    Raises:
      ResumeError: if the folder holds no checkpoint.
    """
    if not any(path.name.isdigit() for path in (located(folder) / CHECKPOINTS).glob("*")):
        raise no_checkpoint(folder)


def no_checkpoint(folder: str | os.PathLike) -> ResumeError:
    """Return the error for a run that has saved no checkpoint."""
    return ResumeError(
        f"{folder} holds no checkpoint; wait until its run has saved one, or give the workdir of a run that has"
    )


def write_labels(workdir: str | os.PathLike, labels: tuple[str, ...] | None) -> None:
    """Write the class names in the order of the model's outputs, if the data has names."""
    if labels:
        write_json(located(workdir) / LABELS, labels)


def read_labels(workdir: str | os.PathLike) -> tuple[str, ...] | None:
    """Read the class names of a run; None if its data had no names.

    Raises:
      DataError: if labels.json is damaged.
    """
    path = located(workdir) / LABELS
    if not path.is_file():
        return None
    names = read_json(path)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path} is damaged: start the run again to rewrite it, or delete it to do without names")
    return tuple(names)


def check_labels(
    workdir: str | os.PathLike,
    labels: tuple[str, ...] | None,
    remedy: str = "evaluate on data with the classes the run was trained with",
) -> None:
    """Reject data in which a class number has a different name than in the run.

    Raises:
      DataError: if both the run and the data name their classes, and the names differ.
    """
    trained = read_labels(workdir)
    if not labels or trained is None or trained == tuple(labels):
        return
    pairs = list(zip(trained, labels, strict=False))
    number = next((n for n, (there, here) in enumerate(pairs) if there != here), len(pairs))
    names = [repr(of[number]) if number < len(of) else "missing" for of in (trained, labels)]
    raise DataError(f"class {number} is {names[0]} in {located(workdir) / LABELS} and {names[1]} in the data; {remedy}")
