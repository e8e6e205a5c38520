"""The scores of an evaluation, and two of its files: the confusion matrix and the list of undecodable videos."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import os
import types
from collections.abc import Sequence

import numpy as np

from vidjax.data.sources.base import VideoSource
from vidjax.errors import VideoError
from vidjax.files import GrowingFile, Place, mend_json_lines, write_whole

QUARANTINED = {"step": (int, types.NoneType), "id": str}  # keys of every line of quarantine.jsonl, with their types


@dataclasses.dataclass(frozen=True)
class VideoScores:
    """The scores of one pass over a data set, in the data set's order.

    Attributes:
      scores: (n classes) float32, merged over the views; zeros for unscored videos.
      labels: (n,) int.
      scored: (n,) bool.
      reasons: n strings, empty for scored videos, otherwise one of `VideoError.REASONS` or `not_finite`.
    """

    scores: np.ndarray
    labels: np.ndarray
    scored: np.ndarray
    reasons: tuple[str, ...]


def write_quarantine(path: Place, reasons: Sequence[str], source: VideoSource, split: str) -> None:
    """Add the videos that could not be decoded to a list, each once; `step` is null outside of training.

    Args:
      path: quarantine.jsonl.
      reasons: one per row of `source`; only those of a `VideoError` are listed.
    """
    failed = [index for index, reason in enumerate(reasons) if reason in VideoError.REASONS]
    if not failed:
        return
    listed = {row["id"] for row in mend_json_lines(path, print, **QUARANTINED)}
    with contextlib.closing(GrowingFile(path)) as file:
        for row, reason in ((source[index], reasons[index]) for index in failed):
            if row.id not in listed:
                where = os.fspath(row.video) if isinstance(row.video, str | os.PathLike) else ""
                line = {"step": None, "id": row.id, "path": where, "reason": reason, "split": split}
                file.add(json.dumps(line))


def write_matrix(path: Place, matrix: np.ndarray, names: Sequence[str]) -> None:
    """Write a confusion matrix as CSV: a line for each label, a column for each prediction."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["label \\ prediction", *names])
    for name, row in zip(names, matrix.tolist(), strict=True):
        writer.writerow([name, *row])
    write_whole(path, text.getvalue())
