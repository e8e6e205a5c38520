"""Read the features of a frozen backbone from a folder or bucket with a header and parts of rows."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from vidjax.errors import ConfigError, DataError
from vidjax.evaluation.features.header import HEADER, Header, differences, read_header
from vidjax.evaluation.features.parts import REASONS, missing_parts, open_part
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
    """

    def __init__(self, folder: Place, header: Header):
        self.folder, self.header = folder, header
        labels, targets, reasons, rows = [], [], [], []
        for part in range(header.num_parts):
            with open_part(folder, header, part) as content:
                labels.append(content.array("label"))
                targets.append(content.array("target"))
                reasons.append(content.array("reason"))
                rows += content.rows
        self.labels, self.targets = np.concatenate(labels), np.concatenate(targets)
        self.reasons = tuple(REASONS[number] if number >= 0 else "" for number in np.concatenate(reasons))
        self.decoded = np.array([not reason for reason in self.reasons])
        self.ids = tuple(row["id"] for row in rows)
        self.groups = np.array([row["group"] or row["id"] for row in rows])

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

        Raises:
          ConfigError: if the store has no such array.
        """
        if name not in self.header.arrays:
            raise ConfigError(
                f"{self.folder} has no {name}, only {', '.join(self.header.arrays)}; write another store with "
                "--features"
            )
        wanted = np.arange(len(self)) if rows is None else np.asarray(rows, np.int64)
        found = np.empty((len(wanted), *self.header.arrays[name]), np.float32)
        parts = wanted // self.header.rows_per_part
        for part in np.unique(parts):
            chosen = parts == part
            with open_part(self.folder, self.header, int(part)) as content:
                found[chosen] = content.array(name)[wanted[chosen] - self.header.rows_of(part).start]
        return found


def check_pair(train: FeatureStore, test: FeatureStore) -> None:
    """Reject two stores whose features are not comparable.

    Raises:
      ConfigError: if backbones, clips, arrays or annotations differ, or a class or target has another name; the message
        names the differences.
    """
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
