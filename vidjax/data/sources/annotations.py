"""What a row carries beside a class: targets, intervals or captions, and how intervals become labels of a window."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from vidjax.data.sources.rows import Interval, Row
from vidjax.errors import DataError

OF_TASK = {"regression": "target", "multi_label": "intervals", "captioning": "captions"}  # others learn from the class


def fact_of(task: str) -> str:
    """What `open_source` is to read for a task; empty where rows need no more than a class."""
    return OF_TASK.get(task, "")


def window_labels(
    intervals: Iterable[Interval], window: tuple[float, float] | None, num_classes: int
) -> Float[np.ndarray, " classes"]:
    """1 for every class with an interval that overlaps a window, the union of Charades' protocol; all without a window.

    Args:
      window: seconds, from the start up to but without the end; an interval that only touches it does not overlap.
    """
    labels = np.zeros(num_classes, np.float32)
    for start, end, number in intervals:
        if window is None or (start < window[1] and (end > window[0] or start == end == window[0])):
            labels[number] = 1
    return labels


def check_intervals(row: Row, num_classes: int) -> None:
    """Refuse intervals that cannot be meant.

    Raises:
      DataError: naming the row, for an end before its start, a stretch outside the video, or an unknown class.
    """
    for start, end, number in row.intervals:
        if not 0 <= number < num_classes:
            raise DataError(f"{row.id}: class {number} is not one of the {num_classes} classes from 0 up")
        if not 0 <= start <= end:
            raise DataError(f"{row.id}: the interval from {start:g} s to {end:g} s ends before it starts, or before 0")
        if row.duration and start > row.duration:
            raise DataError(
                f"{row.id}: the interval from {start:g} s to {end:g} s lies outside the video of {row.duration:g} s"
            )


def faults_of_intervals(rows: Sequence[Row]) -> dict[str, list[str]]:
    """The rows whose intervals run past the end, end before they start, or lie outside; once for each such interval."""
    kinds: dict[str, list[str]] = {"run past the end": [], "end before they start": [], "lie outside": []}
    for row in rows:
        for start, end, _ in row.intervals:
            if end < start:
                kinds["end before they start"].append(row.id)
            elif end < 0 or (row.duration and start > row.duration):
                kinds["lie outside"].append(row.id)
            elif row.duration and end > row.duration:
                kinds["run past the end"].append(row.id)
    return kinds


def told_intervals(title: str, rows: Sequence[Row]) -> list[str]:
    """A sentence for each kind of fault that a public data set's intervals have, with its first row.

    Nothing is dropped: as in the official scores, such a class counts for the whole video, and an interval for those
    moments of the video that it holds.
    """
    total = sum(len(row.intervals) for row in rows)
    return [
        f"{title}: of {total} intervals {len(found)} {kind}, the first in {found[0]}; they count where they lie inside "
        "their video"
        for kind, found in faults_of_intervals(rows).items()
        if found
    ]


def told_unseen(title: str, counts: Mapping[str, int]) -> list[str]:
    """A sentence if a training split has classes without any example, which nothing can teach; it names the first.

    Args:
      counts: of examples by class.
    """
    unseen = [name for name, count in counts.items() if not count]
    if not unseen:
        return []
    return [
        f"{title}: {len(unseen)} of {len(counts)} classes are never seen in training, the first of them {unseen[0]!r}"
    ]


def told_captions(title: str, rows: Sequence[Row]) -> list[str]:
    """Sentences on empty captions and on videos without any, which a data set's captioning protocol leaves out."""
    empty = [row.id for row in rows for text in row.captions if not text.strip()]
    bare = [row.id for row in rows if not any(text.strip() for text in row.captions)]
    total, sentences = sum(len(row.captions) for row in rows), []
    if empty:
        sentences.append(
            f"{title}: {len(empty)} of {total} descriptions are empty and left out, the first of {empty[0]}"
        )
    if bare:
        sentences.append(
            f"{title}: {len(bare)} of {len(rows)} videos have no description and are left out, the first of them "
            f"{bare[0]}"
        )
    return sentences


def with_captions(rows: Sequence[Row]) -> list[Row]:
    """The rows that have a caption, without their empty ones."""
    told = ((row, tuple(text for text in row.captions if text.strip())) for row in rows)
    return [dataclasses.replace(row, captions=captions) for row, captions in told if captions]


def warn(sentences: Iterable[str]) -> None:
    """Say them in the log."""
    for sentence in sentences:
        logging.getLogger("vidjax").warning("%s", sentence)


def batch_facts(
    fact: str,
    row: Row,
    seen: tuple[float, float] | None,
    num_classes: int,
    repeats: int,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """The arrays of a training batch that a row's facts give, the same for its `repeats` clips.

    Args:
      seen: seconds that the clips were taken from.
      rng: picks one of several captions.

    Returns:
      target (repeats k) float32, labels (repeats classes) float32 of the intervals seen, or tokens (repeats n) int32 of
      a caption whose row has them; nothing without a fact.
    """
    if fact == "target":
        return {"target": np.tile(np.asarray(row.target, np.float32), (repeats, 1))}
    if fact == "intervals":
        return {"labels": np.tile(window_labels(row.intervals, seen, num_classes), (repeats, 1))}
    if row.tokens:
        chosen = row.tokens[int(rng.integers(len(row.tokens)))]
        return {"tokens": np.tile(np.asarray(chosen, np.int32), (repeats, 1))}
    return {}
