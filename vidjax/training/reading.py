"""Report and record which videos a run uses, before its first step."""

from __future__ import annotations

from typing import Any

from vidjax.data.sources.annotation_checks import class_counts, class_warnings
from vidjax.data.sources.annotations import LABEL
from vidjax.data.sources.base import VideoSource
from vidjax.evaluation import Evaluator
from vidjax.files import Place, write_json
from vidjax.training.telemetry import say
from vidjax.weights.run_files import DATA


def say_reading(source: VideoSource, evaluator: Evaluator | None) -> None:
    """Print how a user's own videos were read and split, and which classes have too few of them."""
    if source.reading is not None:
        say(source.reading.sentence)
    if evaluator is None or not all(of.annotation == LABEL and of.knows_labels for of in (source, evaluator.source)):
        return
    for sentence in class_warnings(class_counts(source), class_counts(evaluator.source)):
        say(f"warning: {sentence}")


def keep_reading(source: VideoSource, evaluator: Evaluator | None, workdir: Place) -> None:
    """Write to data.json how many videos the run trains and validates on.

    For a user's own videos it also records how they were read and split, with the names in each split.
    """
    record: dict[str, Any] = dict(source.reading.record) if source.reading else {}
    sides = {"train": source, "validation": evaluator.validated if evaluator else None}
    counts = {side: {"videos": len(of), "content_id": of.content_id} for side, of in sides.items() if of is not None}
    write_json(workdir / DATA, record | counts)
