"""The protocol of a data set's split: labelled videos, one row each."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from jaxtyping import Int64

from vidjax.data.sources.rows import Row


class VideoSource(Protocol):
    """The labelled videos of one split; picklable, cheap to send to loader processes, with a stable repr.

    Attributes:
      labels: class names in the order of their numbers, or None where the data set has none.
      num_classes: how many there are, named or not.
      content_id: a short hash that changes when rows, labels or file sizes do.
      fact: what rows carry beside a class: target, intervals or captions; sources without it carry none.
    """

    labels: tuple[str, ...] | None
    num_classes: int
    content_id: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Row: ...

    def rows_of_class(self, label: int) -> Int64[np.ndarray, " n"]:
        """The row numbers of a class, ascending."""
        ...
