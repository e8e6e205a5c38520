"""The list of videos that could not be decoded in training, and the limit above which a run stops."""

from __future__ import annotations

import contextlib
import json
import os

import jax
import numpy as np

from vidjax.data.sources.base import VideoSource
from vidjax.errors import DataError, VideoError
from vidjax.evaluation.result_files import QUARANTINED
from vidjax.files import GrowingFile, Place, mend_json_lines, read_json_lines
from vidjax.training.telemetry import say

FILE = "quarantine.jsonl"
LIMIT, SHARE = 10, 0.01  # a run continues while at most max(LIMIT, SHARE of all videos) distinct videos have failed


class Quarantine:
    """The distinct failed videos of a run, including those of earlier starts.

    Every process counts the failures of the global batch, so that all processes stop at the same step. Only the first
    process writes the list.
    """

    def __init__(self, workdir: Place, source: VideoSource):
        self._path, self._source = workdir / FILE, source
        self._limit = max(LIMIT, int(SHARE * len(source)))
        if jax.process_index() == 0:
            mend_json_lines(self._path, say, **QUARANTINED)
        rows = read_json_lines(self._path, **QUARANTINED).rows
        self._ids = {row["id"] for row in rows if row.get("step") is not None}  # the others failed in an evaluation

    def add(self, step: int, failed: np.ndarray, reasons: np.ndarray) -> None:
        """Record the failures of one global batch.

        Args:
          step: the training step, counted from 1.
          failed: numbers of the failed rows of the data set, of shape (rows, 8); -1 where none failed.
          reasons: indices into `VideoError.REASONS`, of the same shape.

        Raises:
          DataError: when too many distinct videos have failed.
        """
        where = failed >= 0
        for row, reason in zip(failed[where].tolist(), reasons[where].tolist(), strict=True):
            self._note(step, row, VideoError.REASONS[reason])
        if len(self._ids) > self._limit:
            raise DataError(
                f"{len(self._ids)} of {len(self._source)} videos could not be decoded, more than the limit of "
                f"{self._limit}; repair or remove them. The reasons are in {self._path}, and `vidjax check` with "
                "--read decode finds all such videos"
            )

    def _note(self, step: int, row: int, reason: str) -> None:
        video = self._source[row]
        if video.id in self._ids:
            return
        self._ids.add(video.id)
        if jax.process_index() == 0:
            path = os.fspath(video.video) if isinstance(video.video, str | os.PathLike) else ""
            with contextlib.closing(GrowingFile(self._path)) as file:
                file.add(json.dumps({"step": step, "id": video.id, "path": path, "reason": reason}))
        say(f"{video.id} cannot be decoded ({reason}); another video takes its place in every batch; see {self._path}")
