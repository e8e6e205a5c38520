"""Find faulty annotations: some raise an error, others are counted in a warning."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.rows import Row
from vidjax.errors import DataError

FEW_VIDEOS = 5  # a class with fewer causes a warning


def check_intervals(row: Row, num_classes: int) -> None:
    """Reject impossible intervals.

    Raises:
      DataError: naming the row, for an end before its start, an interval outside the video, or an unknown class.
    """
    for start, end, number in row.intervals:
        if not 0 <= number < num_classes:
            raise DataError(f"{row.id}: class {number} is not one of the {num_classes} classes, numbered from 0")
        if not 0 <= start <= end:
            raise DataError(
                f"{row.id}: the interval from {start:g} s to {end:g} s ends before it starts, or starts before 0"
            )
        if row.duration and start > row.duration:
            raise DataError(
                f"{row.id}: the interval from {start:g} s to {end:g} s lies outside the video of {row.duration:g} s"
            )


def faulty_intervals(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Group rows by the fault of their intervals; a row is listed once for each faulty interval."""
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


def interval_warnings(title: str, rows: Sequence[Row]) -> list[str]:
    """One sentence per kind of faulty interval, naming the first row that has one.

    No interval is dropped. As in the official scores, each gives its class to the video as a whole, and to those
    moments of the video that it covers.
    """
    total = sum(len(row.intervals) for row in rows)
    return [
        f"{title}: of {total} intervals, {len(found)} {kind}, the first in {found[0]}; each counts for its video as a "
        "whole, and for the moments of the video that it covers"
        for kind, found in faulty_intervals(rows).items()
        if found
    ]


def unseen_class_warnings(title: str, counts: Mapping[str, int]) -> list[str]:
    """One sentence if some classes have no training example, naming the first.

    Args:
      counts: number of training examples by class.
    """
    unseen = [name for name, count in counts.items() if not count]
    if not unseen:
        return []
    return [
        f"{title}: {len(unseen)} of {len(counts)} classes are never seen in training, the first of them {unseen[0]!r}"
    ]


def class_counts(source: VideoSource) -> dict[str, int]:
    """The number of rows per class, by its name or its number, for a source with one class per row."""
    names = source.labels or tuple(map(str, range(source.num_classes)))
    found = np.bincount(source.row_labels(), minlength=len(names))
    return dict(zip(names, found.tolist(), strict=False))


def class_warnings(train: Mapping[str, int], val: Mapping[str, int] | None = None) -> list[str]:
    """Sentences about classes with too few videos to be learned or judged.

    Args:
      train: number of training videos per class.
      val: number of validation videos per class; None without validation.
    """
    seen, val = {name: count for name, count in train.items() if count}, val if val is not None else {}
    if len(seen) == 1:
        return [
            f"there is only one class, {next(iter(seen))!r}, so a loss of 0 and an accuracy of 100% mean nothing; add "
            "videos of another class"
        ]
    sentences = []
    few = {name: total for name, count in seen.items() if (total := count + val.get(name, 0)) < FEW_VIDEOS}
    if few:
        name, total = min(few.items(), key=lambda item: item[1])
        sentences.append(
            f"{len(few)} of {len(seen)} classes have fewer than {FEW_VIDEOS} videos ({name!r} has {total}): "
            "they can hardly be learned, and their accuracy says little"
        )
    single = [name for name, count in seen.items() if count == 1]
    if single:
        sentences.append(
            f"{len(single)} of {len(seen)} classes have a single video to train on, the first of them {single[0]!r}"
        )
    unjudged = [name for name in seen if not val.get(name, 0)]
    if val and unjudged:
        sentences.append(
            f"{len(unjudged)} of {len(seen)} classes have no video for validation, the first of them {unjudged[0]!r}: "
            "their accuracy stays unknown"
        )
    return sentences


def caption_warnings(title: str, rows: Sequence[Row]) -> list[str]:
    """Sentences about empty captions and videos without captions, both of which `with_captions` leaves out."""
    empty = [row.id for row in rows for text in row.captions if not text.strip()]
    bare = [row.id for row in rows if not any(text.strip() for text in row.captions)]
    total, sentences = sum(len(row.captions) for row in rows), []
    if empty:
        sentences.append(
            f"{title}: {len(empty)} of {total} descriptions are empty and left out, the first in {empty[0]}"
        )
    if bare:
        sentences.append(
            f"{title}: {len(bare)} of {len(rows)} videos have no description and are left out, the first of them "
            f"{bare[0]}"
        )
    return sentences


def with_captions(rows: Sequence[Row]) -> list[Row]:
    """The rows that have a caption, without empty captions."""
    written = ((row, tuple(text for text in row.captions if text.strip())) for row in rows)
    return [dataclasses.replace(row, captions=captions) for row, captions in written if captions]


def warn(sentences: Iterable[str]) -> None:
    """Log each sentence as a warning."""
    for sentence in sentences:
        logging.getLogger("vidjax").warning("%s", sentence)
