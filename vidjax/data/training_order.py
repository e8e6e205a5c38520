"""The order in which training reads the rows of a source: shuffled, repeated, balanced and mixed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from vidjax.config import DataConfig
from vidjax.data.in_place import placed
from vidjax.data.sources.annotations import LABEL
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.mixture import Mixture
from vidjax.errors import ConfigError

if TYPE_CHECKING:  # grain imports jax and orbax, which many importers of this module do not need
    import grain

_ROWS = 2**48  # practically endless, yet small enough for the floats in which grain computes lengths


def training_order(source: VideoSource, data: DataConfig, seed: int) -> grain.MapDataset:
    """The row to read at each training position, over all processes and steps.

    Args:
      source: the sources of a `Mixture` are shuffled and repeated separately, then interleaved by their shares.
      data: data.balance=classes repeats the rows of each class until every class has as many as the largest.

    Raises:
      ConfigError: when data.balance=classes and rows do not have one class each.
    """
    import grain

    from vidjax.data.interleave import Interleaved

    if not isinstance(source, Mixture):
        return _shuffled(source, data, seed)
    parts = [_shuffled(part.source, data, part.seed(seed), part.first) for part in source.parts]
    return grain.MapDataset.select_from_datasets(parts, Interleaved(source.shares, _ROWS // 2)).seed(seed)


def _shuffled(source: VideoSource, data: DataConfig, seed: int, first: int = 0) -> grain.MapDataset:
    """The rows of a source, repeated in a new order each time; `first` is added to their numbers."""
    import grain

    if data.balance == "classes":
        dataset = grain.MapDataset.source(cast("Sequence[int]", BalancedRows(source, first)))
    else:
        dataset = grain.MapDataset.range(first, first + len(source))
    return dataset.seed(seed).shuffle().repeat(_ROWS // len(dataset))


class BalancedRows:
    """Row numbers that repeat smaller classes until all are as frequent as the largest; empty classes are left out."""

    def __init__(self, source: VideoSource, first: int = 0):
        """Sort the rows by class.

        Args:
          first: the number of the first row.
        """
        if source.annotation != LABEL:
            raise ConfigError(
                f"data.balance=classes needs one class per row, but these rows have {source.annotation or 'no label'}; "
                "set data.balance=none"
            )
        labels = source.row_labels()
        counts = np.bincount(labels)
        self._by_class = placed((np.argsort(labels, kind="stable") + first).astype(np.int32))
        self._counts = counts[counts > 0]
        self._first, self._most = np.cumsum(self._counts) - self._counts, int(counts.max())

    def __len__(self) -> int:
        return len(self._counts) * self._most

    def __getitem__(self, index: int) -> int:
        own, place = divmod(int(index), self._most)
        return int(self._by_class[self._first[own] + place % self._counts[own]])
