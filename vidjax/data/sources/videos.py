"""The videos of a list or a folder, stored by column, so that ten million videos do not need one object each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

import numpy as np
from jaxtyping import Bool, Int32, Integer

from vidjax.data.sources.texts import Texts


class Entry(NamedTuple):
    """A video in a list or a folder.

    Attributes:
      name: path relative to the root, with forward slashes.
      labels: its classes, as they are written; empty if none is known.
      captions: sentences about it.
      split: its split, as it is written; empty if the list does not give one.
      line: its line number in the list; 0 without a list.
    """

    name: str
    labels: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    split: str = ""
    line: int = 0


@dataclass(frozen=True)
class Column:
    """A column of values, many of which are equal.

    Attributes:
      values: each distinct value once.
      codes: for each row, the index of its value in `values`.
    """

    values: tuple[Any, ...]
    codes: Int32[np.ndarray, " n"]

    @classmethod
    def same(cls, value: Any, count: int) -> Column:
        """A column with the same value in all rows."""
        return cls((value,), np.broadcast_to(np.int32(0), count))

    def is_any(self, wanted: Callable[[Any], bool]) -> Bool[np.ndarray, " n"]:
        """For each row, whether `wanted` is true of its value."""
        return np.array([wanted(value) for value in self.values])[self.codes]


class GrowingColumn:
    """A column to which rows are added block by block."""

    def __init__(self, value_of: Callable[[Any], Any]):
        """Start without rows.

        Args:
          value_of: turns a cell (text, a JSON value or a tuple) into a hashable value.
        """
        self._value_of, self._code_of_cell = value_of, dict[Any, int]()
        self._code_of_value, self._codes = dict[Any, int](), list[Int32[np.ndarray, " n"]]()

    def add(self, cells: Sequence[Any]) -> None:
        """Append rows."""
        keys = [cell if isinstance(cell, str) else (repr(cell),) for cell in cells]
        for key, cell in zip(keys, cells, strict=True):
            if key not in self._code_of_cell:
                code = self._code_of_value.setdefault(self._value_of(cell), len(self._code_of_value))
                self._code_of_cell[key] = code
        self._codes.append(np.fromiter(map(self._code_of_cell.__getitem__, keys), np.int32, len(keys)))

    def column(self) -> Column:
        """The column; nothing may be added afterwards."""
        return Column(tuple(self._code_of_value), np.concatenate([np.zeros(0, np.int32), *self._codes]))


class LineNumbers:
    """The line number of each row: rows are consecutive lines, except for empty lines."""

    def __init__(self, first: int, empty: Sequence[int]):
        """Keep the numbers from which lines are computed.

        Args:
          first: line of the first row.
          empty: the lines below it that are not rows, in ascending order.
        """
        self._first, self._before = first, np.array(empty, np.int64) - np.arange(len(empty))

    def of(self, row: int) -> int:
        """The line of a row."""
        return self._first + row + int(np.searchsorted(self._before, self._first + row, side="right"))


@dataclass(frozen=True)
class Videos(Sequence[Entry]):
    """Videos, as a sequence of `Entry`.

    Attributes:
      names: paths of these videos, each with its row in the list or folder.
      labels, splits, captions: columns over all rows of the list or folder, including those not selected; `captions` is
        empty without such a column.
      line_of: the line number of a row; 0 without a list.
    """

    names: Texts
    labels: Column
    splits: Column
    captions: Sequence[tuple[str, ...]]
    line_of: Callable[[int], int]

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Videos:
        """Store these videos, which may come from several lists."""
        entries = list(entries)
        labels, splits = GrowingColumn(tuple), GrowingColumn(str)
        labels.add([entry.labels for entry in entries])
        splits.add([entry.split for entry in entries])
        names, captions = Texts.of(entry.name for entry in entries), [entry.captions for entry in entries]
        return cls(names, labels.column(), splits.column(), captions, [entry.line for entry in entries].__getitem__)

    @classmethod
    def of_files(cls, names: Iterable[str], folder: int | None = None) -> Videos:
        """Store files.

        Args:
          folder: index, from 0, of the path component that names the class; None without classes.
        """
        names = names if isinstance(names, Texts) else Texts.of(names)
        if folder is None:
            labels = Column.same((), len(names))
        else:
            growing = GrowingColumn(lambda label: (label,))
            for block in names.blocks():
                growing.add([name.split("/", folder + 1)[folder] for name in block])
            labels = growing.column()
        return cls(names, labels, Column.same("", len(names)), (), lambda row: 0)

    def take(self, rows: Bool[np.ndarray, " n"] | Integer[np.ndarray, " k"]) -> Videos:
        """Select some of these videos, by position in this sequence or by a mask over it."""
        chosen = (np.flatnonzero(rows) if rows.dtype == bool else rows).astype(np.int32)
        return dataclasses.replace(self, names=self.names.take(chosen))

    def label_codes(self) -> Int32[np.ndarray, " n"]:
        """For each video, the index of its labels in `labels.values`."""
        return self.labels.codes[self.names.rows]

    def label_sets(self) -> list[tuple[str, ...]]:
        """The distinct sets of labels that occur."""
        seen = np.zeros(len(self.labels.values), bool)
        seen[self.label_codes()] = True
        return [self.labels.values[code] for code in np.flatnonzero(seen)]

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Entry: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Entry]: ...

    def __getitem__(self, index: int | slice) -> Entry | Sequence[Entry]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        row = self.names.row(index)
        return Entry(
            self.names[index],
            self.labels.values[self.labels.codes[row]],
            self.captions[row] if self.captions else (),
            self.splits.values[self.splits.codes[row]],
            self.line_of(row),
        )
