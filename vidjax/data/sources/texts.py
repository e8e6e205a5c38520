"""Store millions of names in two arrays instead of one Python object each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
from jaxtyping import Integer

from vidjax.data.in_place import GrowingBytes, placed

_BLOCK = 2**15  # texts encoded or hashed at once
_ENCODING = "utf-8", "surrogateescape"  # as for file names


class Texts(Sequence[str]):
    """A sequence of texts, stored as their concatenated bytes, the start of each, and the selected rows."""

    def __init__(
        self,
        data: Integer[np.ndarray, " bytes"],
        starts: Integer[np.ndarray, " all+1"],
        rows: Integer[np.ndarray, " n"] | None = None,
    ):
        """Keep the arrays.

        Args:
          starts: the start of each text in `data`, and the end of the last.
          rows: the selected texts, in order; None for all.
        """
        self._data, self._starts, self._rows = data, starts, rows

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """Store these texts."""
        growing = GrowingTexts()
        block: list[str] = []
        for text in texts:
            block.append(text)
            if len(block) == _BLOCK:
                growing.add(block)
                block = []
        growing.add(block)
        return growing.texts()

    def take(self, rows: Integer[np.ndarray, " k"]) -> Texts:
        """Select some rows; the bytes are shared, not copied."""
        return Texts(self._data, self._starts, placed(rows if self._rows is None else self._rows[rows]))

    @property
    def rows(self) -> Integer[np.ndarray, " n"]:
        """The row of each selected text among all texts."""
        return np.arange(len(self), dtype=np.int32) if self._rows is None else self._rows

    def row(self, index: int) -> int:
        """The row of one selected text among all texts."""
        place = range(len(self))[index]
        return place if self._rows is None else int(self._rows[place])

    def whole(self) -> Texts:
        """All texts, whichever are selected."""
        return Texts(self._data, self._starts)

    def digest(self) -> str:
        """A hash of the texts and their order."""
        found = hashlib.sha256()
        for block in self._blocks():
            found.update(np.fromiter(map(len, block), np.int64, len(block)).tobytes())
            found.update(b"".join(block))
        return found.hexdigest()

    def __len__(self) -> int:
        return len(self._starts) - 1 if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...

    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        row = self.row(index)
        return self._data[self._starts[row] : self._starts[row + 1]].tobytes().decode(*_ENCODING)

    def __iter__(self) -> Iterator[str]:
        return (text for block in self.blocks() for text in block)

    def blocks(self) -> Iterator[list[str]]:
        """Yield the texts, up to 32,768 at a time."""
        return ([text.decode(*_ENCODING) for text in block] for block in self._blocks())

    def _blocks(self) -> Iterator[list[bytes]]:
        for at in range(0, len(self), _BLOCK):
            upto = min(at + _BLOCK, len(self))
            rows = np.arange(at, upto) if self._rows is None else self._rows[at:upto]
            first, last = int(rows.min()), int(rows.max()) + 1
            begins, ends = self._starts[rows], self._starts[rows + 1]
            if last - first > 8 * len(rows):  # too far apart to be read in one piece
                yield [self._data[begin:end].tobytes() for begin, end in zip(begins, ends, strict=True)]
                continue
            base = int(self._starts[first])
            data = self._data[base : int(self._starts[last])].tobytes()
            places = zip((begins - base).tolist(), (ends - base).tolist(), strict=True)
            yield [data[begin:end] for begin, end in places]


class GrowingTexts:
    """A sequence of texts that grows block by block."""

    def __init__(self):
        self._data, self._sizes = GrowingBytes(), list[Integer[np.ndarray, " n"]]()

    def add(self, block: Sequence[str]) -> None:
        """Append texts."""
        encoded = [text.encode(*_ENCODING) for text in block]
        self._data.add(b"".join(encoded))
        self._sizes.append(np.fromiter(map(len, encoded), np.int32, len(encoded)))

    def texts(self) -> Texts:
        """The texts; nothing may be added afterwards."""
        sizes = np.concatenate([np.zeros(1, np.int32), *self._sizes])
        self._sizes = []
        data = self._data.array()
        return Texts(data, placed(np.cumsum(sizes, dtype=np.uint32 if len(data) < 2**32 else np.int64)))
