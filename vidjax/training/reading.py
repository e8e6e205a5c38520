"""Report and record which videos a run uses, before its first step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vidjax.data.sources.annotation_checks import class_counts, class_warnings
from vidjax.data.sources.annotations import LABEL
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.mixture import Mixture
from vidjax.data.sources.reading import Reading
from vidjax.evaluation import Evaluator
from vidjax.files import Place, write_json
from vidjax.training.telemetry import say
from vidjax.weights.run_files import DATA


def say_reading(source: VideoSource, evaluator: Evaluator | None) -> None:
    """Print how a user's own videos were read and split, and which classes have too few videos."""
    if isinstance(source, Mixture):
        say(source.sentence)
    for name, reading in _readings(source):
        say(f"{name}: {reading.sentence}" if name else reading.sentence)
    if evaluator is None or not all(of.annotation == LABEL and of.knows_labels for of in (source, evaluator.source)):
        return
    for sentence in class_warnings(class_counts(source), class_counts(evaluator.source)):
        say(f"warning: {sentence}")


def keep_reading(source: VideoSource, evaluator: Evaluator | None, workdir: Place) -> None:
    """Write to data.json how many videos the run trains and validates on.

    For a user's own videos it also records how they were read and split, with the names in each split. For a mixture it
    records all of this for each source, under `mixture`.
    """
    record: dict[str, Any] = dict(source.reading.record) if source.reading else {}
    if isinstance(source, Mixture):
        readings = dict(_readings(source))
        record["mixture"] = {
            part.name: (dict(readings[part.name].record) if part.name in readings else {})
            | {"weight": part.weight, "share": float(share), "videos": len(part.source)}
            | {"content_id": part.source.content_id}
            for part, share in zip(source.parts, source.shares, strict=True)
        }
    sides = {"train": source, "validation": evaluator.validated if evaluator else None}
    counts = {side: {"videos": len(of), "content_id": of.content_id} for side, of in sides.items() if of is not None}
    write_json(workdir / DATA, record | counts)


def _readings(source: VideoSource) -> Iterator[tuple[str, Reading]]:
    """Yield how a user's own videos were read, with the name of their source in a mixture."""
    named = [(part.name, part.source) for part in source.parts] if isinstance(source, Mixture) else [("", source)]
    yield from ((name, of.reading) for name, of in named if of.reading is not None)
