"""Read the features of a frozen backbone from a folder or bucket with a header and parts of rows."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from vidjax.errors import ConfigError, DataError
from vidjax.evaluation.features.header import HEADER, Header, differences, read_header
from vidjax.evaluation.features.parts import REASONS, missing_parts, open_part
from vidjax.evaluation.features.window_times import WindowTimes
from vidjax.files import Place, located


class FeatureStore:
    """A complete store, opened for reading; arrays are read when requested.

    Attributes:
      header: the description of the features.
      labels: (n,) int64 class numbers.
      targets: (n, k) float32 numbers to predict; k = 0 if rows have none.
      ids: names of the rows.
      groups: (n,) the subject of each row; its id if the data names no subject.
      reasons: why a row has zeros instead of features, one of `REASONS`; empty if it has features.
      decoded: (n,) bool, whether a row has features.
      windows: the windows of all rows, from which the arrays were computed; None for one central view per row.

    Example:
      >>> store = FeatureStore.open("features/windows")  # written with --every or --window
      >>> for row, name in enumerate(store.ids):
      ...     features, times = store.array("pooled", [row]), store.times(row)  # (w, d) and (w, 2), in seconds
    """

    def __init__(self, folder: Place, header: Header):
        self.folder, self.header = folder, header
        labels, targets, reasons, rows, windows = [], [], [], [], []
        for part in range(header.num_parts):
            with open_part(folder, header, part) as content:
                labels.append(content.array("label"))
                targets.append(content.array("target"))
                reasons.append(content.array("reason"))
                rows += content.rows
                if header.windows:
                    windows.append(content.windows())
        self.labels, self.targets = np.concatenate(labels), np.concatenate(targets)
        self.reasons = tuple(REASONS[number] if number >= 0 else "" for number in np.concatenate(reasons))
        self.decoded = np.array([not reason for reason in self.reasons])
        self.ids = tuple(row["id"] for row in rows)
        self.groups = np.array([row["group"] or row["id"] for row in rows])
        self.windows = WindowTimes(*map(np.concatenate, zip(*windows, strict=True))) if windows else None

    @classmethod
    def open(cls, folder: str | os.PathLike) -> FeatureStore:
        """Open a store for reading.

        Raises:
          DataError: if there is no store, or parts are missing or damaged; the message gives the remedy.
        """
        folder = located(folder)
        header = read_header(folder)
        if header is None:
            raise DataError(f"{folder} holds no features, since it has no {HEADER}; `vidjax embed` writes them")
        missing = missing_parts(folder, header)
        if missing:
            there = header.num_parts - len(missing)
            raise DataError(
                f"{folder} is incomplete: it has {there} of {header.num_parts} parts; finish it with "
                f"`{header.command(folder)}`"
            )
        return cls(folder, header)

    def __len__(self) -> int:
        return self.header.num_rows

    def array(
        self, name: str, rows: Sequence[int] | Int[np.ndarray, " n"] | None = None
    ) -> Float[np.ndarray, "*shape"]:
        """Read an array of all or some rows as float32; only the parts that hold the rows are read.

        Returns:
          (rows, ...), or (windows, ...) for a store of windows: all windows of the first row, then all of the next.

        Raises:
          ConfigError: if the store has no such array.
          DataError: if a part is damaged.
        """
        if name not in self.header.arrays:
            raise ConfigError(
                f"{self.folder} has no {name}, only {', '.join(self.header.arrays)}; write another store with "
                "--features"
            )
        wanted = np.arange(len(self)) if rows is None else np.asarray(rows, np.int64)
        counts = np.ones(len(self), np.int64) if self.windows is None else self.windows.counts
        found = np.empty((counts[wanted].sum(), *self.header.arrays[name]), np.float32)
        parts, targets = np.repeat(wanted // self.header.rows_per_part, counts[wanted]), _ranges(counts, wanted)
        for part in np.unique(parts):
            chosen, own = parts == part, self.header.rows_of(int(part))
            with open_part(self.folder, self.header, int(part)) as content:
                found[chosen] = content.array(name)[targets[chosen] - counts[: own.start].sum()]
        return found

    def times(self, row: int) -> Float[np.ndarray, "w 2"]:
        """Return the start and end of each window of a row, in seconds of its video.

        Raises:
          ConfigError: if the store has no windows.
        """
        if self.windows is None:
            raise ConfigError(f"{self.folder} holds one feature per row; embed with --every or --window for windows")
        return self.windows.times[_ranges(self.windows.counts, np.array([row]))]


def _ranges(counts: Int[np.ndarray, " n"], rows: Int[np.ndarray, " m"]) -> Int[np.ndarray, " w"]:
    """Return the positions of the windows of some rows among the windows of all rows."""
    own, starts = counts[rows], np.cumsum(counts) - counts
    before = np.cumsum(own) - own
    return np.repeat(starts[rows] - before, own) + np.arange(own.sum())


def check_pair(train: FeatureStore, test: FeatureStore) -> None:
    """Reject two stores whose features are not comparable.

    Raises:
      ConfigError: if backbones, clips, arrays or annotations differ, a class or target has two names, or a store has
        windows; the message names the differences.
    """
    for store in (train, test):
        if store.windows is not None:
            raise ConfigError(
                f"{store.folder} holds a feature per window, and probes take one per video; embed without --every and "
                "--window"
            )
    unlike = differences(train.header, test.header, ("backbone", "annotation", "clip", "arrays"))
    if unlike:
        told = [f"{name} is {ours} in {train.folder}, {theirs} in {test.folder}" for name, ours, theirs in unlike]
        raise ConfigError(f"these features do not belong together: {'; '.join(told)}; embed both splits alike")
    names = (store.header.data["labels"] or () for store in (train, test))
    for number, (ours, theirs) in enumerate(zip(*names, strict=False)):  # one store may have more names
        if ours != theirs:
            raise ConfigError(
                f"class or target {number} is {ours!r} in {train.folder}, {theirs!r} in {test.folder}; embed "
                "both from data sets with the same names"
            )
