"""`VideoSource`: the interface to the rows of a split, for the loader, the evaluation and `vidjax prepare`."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from jaxtyping import Int64, Integer

from vidjax.data.sources.annotations import LABEL
from vidjax.data.sources.rows import Row

if TYPE_CHECKING:
    from vidjax.data.sources.checksums import Checksums
    from vidjax.data.sources.reading import Reading
    from vidjax.data.video.checked_file import CheckedFile

VideoT = TypeVar("VideoT")


class Rows(Protocol):
    """The rows that the loader reads."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Row: ...


class VideoSource(abc.ABC):
    """The annotated videos of one split; picklable and cheap to send to loader processes.

    Attributes:
      name: name of the split, and of the data set where it is known; for messages.
      annotation: what rows carry for a task to learn from, a name in `vidjax.data.sources.annotations.ANNOTATIONS`, or
        `NOTHING`.
      labels: names of the classes, or of the components of a target, in order; None where there are no names.
      num_classes: number of classes, or of the components of a target, named or not.
      content_id: a short hash that changes with the rows, the annotations or the sizes of some files (see
        `video_tree.spread`).
      knows_labels: whether the classes of all rows are known without reading a video.
      checksums: the checksums of the rows' files, if there is a list of them.
      reading: how a user's own videos were found and divided; None for a data set whose layout defines that. It is not
        sent to loader processes.
    """

    name: str
    annotation: str = LABEL
    labels: tuple[str, ...] | None = None
    num_classes: int
    content_id: str
    knows_labels: bool = True
    checksums: Checksums | None = None
    reading: Reading | None = None

    @abc.abstractmethod
    def __len__(self) -> int:
        """The number of rows."""

    @abc.abstractmethod
    def __getitem__(self, index: int) -> Row:
        """One row; does not decode its video."""

    @abc.abstractmethod
    def row_labels(self) -> Integer[np.ndarray, " rows"]:
        """The class number of each row; 0 where a row has no single class."""

    def files(self) -> Iterable[str]:
        """The paths of those videos that are files, known without reading a video."""
        return ()

    def checked(self, video: VideoT) -> VideoT | CheckedFile:
        """The video of a row; a file comes with its checksum where one is listed."""
        return self.checksums.checked(video) if self.checksums else video

    def rows_of_class(self, label: int) -> Int64[np.ndarray, " n"]:
        """The row numbers of a class, in ascending order."""
        return np.flatnonzero(self.row_labels() == label)

    def substitutes(self, index: int, label: int) -> Iterator[Int64[np.ndarray, " n"]]:
        """Yield arrays of rows that can replace a row that cannot be read, the most similar ones first.

        Args:
          index: the row that cannot be read.
          label: its class.
        """
        del index
        yield self.rows_of_class(label)
        yield np.arange(len(self))

    def __getstate__(self) -> dict[str, Any]:
        """The state sent to loader processes, without `reading`, which repeats the names of all videos."""
        return {name: value for name, value in vars(self).items() if name != "reading"}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}, {self.content_id})"
