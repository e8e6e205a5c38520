"""Rows that are known one by one, with their targets, intervals or captions: a `VideoSource` over a list of them."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from vidjax.data.sources.rows import Row, content_id
from vidjax.errors import DataError


class TableSource:
    """A list of rows; a `VideoSource`.

    Attributes:
      fact: what its rows carry beside a class: "", target, intervals or captions.
      labels: names of the classes, or of the numbers of a target.
    """

    def __init__(
        self,
        name: str,
        rows: Sequence[Row],
        *,
        fact: str = "",
        labels: tuple[str, ...] | None = None,
        num_classes: int = 0,
    ):
        """`num_classes` is that of the names unless given.

        Raises:
          DataError: when there are no rows.
        """
        if not rows:
            raise DataError(f"{name} has no rows")
        self.fact, self.labels = fact, labels
        self.num_classes = num_classes or len(labels or ())
        self._name, self._rows = name, list(rows)
        self._labels = np.array([row.label for row in rows])
        groups = [row.group for row in rows if row.group]
        known = ((row.id, _size(row.video), row.label, row.target, row.intervals, row.captions) for row in rows)
        self.content_id = content_id([name, fact, self.num_classes, *known, *groups])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Row:
        return self._rows[int(index)]

    def __repr__(self) -> str:
        return f"TableSource({self._name}, {self.content_id})"

    def rows_of_class(self, label: int) -> Int64[np.ndarray, " n"]:
        return np.flatnonzero(self._labels == label)


def _size(video) -> int:
    """Bytes of a file; the place of a window in its folder of frames."""
    if isinstance(video, str):
        return os.path.getsize(video) if os.path.exists(video) else -1
    return getattr(video, "first", -1)
