"""`Mixture`: several sources as one, each with its share of every stretch of training."""

from __future__ import annotations

import dataclasses
import functools
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import accumulate, chain, zip_longest

import numpy as np
from jaxtyping import Int64, Integer

from vidjax.data.sources.annotations import LABEL, NOTHING
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.rows import Row, content_id
from vidjax.errors import DataError


@dataclasses.dataclass(frozen=True)
class Part:
    """One source of a mixture.

    Attributes:
      name: its name in `data.mixture`.
      weight: its weight, above 0.
      first: number of its first row among the rows of the mixture.
    """

    name: str
    source: VideoSource
    weight: float
    first: int

    @property
    def rows(self) -> range:
        """Its rows in the mixture."""
        return range(self.first, self.first + len(self.source))

    def seed(self, seed: int) -> int:
        """A seed for the order of its rows, from the run's seed."""
        return zlib.crc32(f"{seed} {self.name}".encode())


class Mixture(VideoSource):
    """The rows of several sources, one source after another; ids begin with the name of the source.

    Attributes:
      parts: the sources, in alphabetical order.
    """

    def __init__(self, sources: Mapping[str, tuple[VideoSource, float]], annotation: str = NOTHING):
        """Join sources.

        Args:
          sources: each source with its weight, by name.
          annotation: what the rows carry: NOTHING, or LABEL if all sources have the same classes.

        Raises:
          DataError: when rows carry a label and the classes of the sources differ.
        """
        names = sorted(sources)
        firsts = accumulate((len(sources[name][0]) for name in names), initial=0)
        self.parts = tuple(Part(name, *sources[name], first) for name, first in zip(names, firsts, strict=False))
        self.name, self.annotation = f"the mixture of {', '.join(names)}", annotation
        self.content_id = content_id((part.name, part.source.content_id) for part in self.parts)
        self.labels, self.num_classes = None, 0
        if annotation == LABEL:
            self.knows_labels = all(part.source.knows_labels for part in self.parts)
            self.labels, self.num_classes = _shared_classes(self.parts)

    def __len__(self) -> int:
        return self.parts[-1].rows.stop

    def __getitem__(self, index: int) -> Row:
        part = self.part_of(index)
        row = part.source[int(index) - part.first]
        return dataclasses.replace(row, id=f"{part.name}/{row.id}")

    def number_of(self, index: int) -> int:
        """The number of the source that a row is from."""
        return int(np.searchsorted(self._firsts, index, side="right")) - 1

    def part_of(self, index: int) -> Part:
        """The source that a row is from."""
        return self.parts[self.number_of(index)]

    def row_labels(self) -> Integer[np.ndarray, " rows"]:
        if self.annotation == NOTHING:
            return np.zeros(len(self), np.int64)
        return np.concatenate([part.source.row_labels() for part in self.parts])

    def files(self) -> Iterable[str]:
        return chain.from_iterable(part.source.files() for part in self.parts)

    def substitutes(self, index: int, label: int) -> Iterator[Int64[np.ndarray, " n"]]:
        part = self.part_of(index)
        for rows in part.source.substitutes(int(index) - part.first, label):
            yield rows + part.first
        yield np.arange(len(self))

    @property
    def shares(self) -> tuple[Fraction, ...]:
        """The exact share of each source; their sum is 1."""
        weights = [Fraction(str(part.weight)) for part in self.parts]
        return tuple(weight / sum(weights) for weight in weights)

    @property
    def sentence(self) -> str:
        """The shares of the sources, and how often an epoch shows each of their videos on average."""
        told = []
        for part, share in zip(self.parts, map(float, self.shares), strict=True):
            times = share * len(self) / len(part.source)
            told.append(f"{part.name} {share:.3g} ({len(part.source)} videos, {times:.3g} times per epoch)")
        return f"mixture of {len(self)} videos, the length of an epoch: {', '.join(told)}"

    @functools.cached_property
    def _firsts(self) -> Int64[np.ndarray, " parts"]:
        return np.array([part.first for part in self.parts])


def _shared_classes(parts: Sequence[Part]) -> tuple[tuple[str, ...] | None, int]:
    """The class names, or None, and the number of classes, which all sources must share."""
    first = parts[0]
    for part in parts[1:]:
        ours, theirs = first.source.labels or (), part.source.labels or ()
        if first.source.num_classes != part.source.num_classes:
            raise DataError(
                f"data.mixture.{first.name} has {first.source.num_classes} classes and data.mixture.{part.name} "
                f"{part.source.num_classes}; classification needs the same classes in all sources"
            )
        if ours != theirs:
            number, pair = next((n, p) for n, p in enumerate(zip_longest(ours, theirs)) if p[0] != p[1])
            our, their = ("without a name" if name is None else repr(name) for name in pair)
            raise DataError(
                f"class {number} is {our} in data.mixture.{first.name} and {their} in data.mixture.{part.name}; "
                "classification needs the same classes in all sources"
            )
    return first.source.labels, first.source.num_classes
