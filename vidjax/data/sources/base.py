"""`VideoSource`: what the loader, the evaluation and `vidjax prepare` ask of the rows of a split."""

from __future__ import annotations

import abc
from collections.abc import Iterable
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
    """What the loader asks of the rows that it shows."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Row: ...


class VideoSource(abc.ABC):
    """The annotated videos of one split; picklable and cheap to send to loader processes.

    Attributes:
      name: of the split, and of the data set where it is known; for messages.
      annotation: what rows carry for a task to learn from, a name of `vidjax.data.sources.annotations.ANNOTATIONS`, or
        `NOTHING`.
      labels: names of the classes, or of the numbers of a target, in their order; None where there are no names.
      num_classes: number of classes, or of the numbers of a target, named or not.
      content_id: a short hash that changes when rows, annotations or the sizes of some files do, `video_tree.spread`.
      knows_labels: whether the classes of all rows are known without reading a video.
      checksums: of the files of the rows, where there is a list of them.
      reading: how a user's own videos were found and divided; None of a data set whose layout says that. It stays in
        the process that opened the source.
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
        """One row; its video is not decoded."""

    @abc.abstractmethod
    def row_labels(self) -> Integer[np.ndarray, " rows"]:
        """The class number of each row; 0 where a row has no single class."""

    def files(self) -> Iterable[str]:
        """The video files of the rows that lie in files, known without reading one."""
        return ()

    def checked(self, video: VideoT) -> VideoT | CheckedFile:
        """What a row has for its video: a file together with its checksum, where one is listed."""
        return self.checksums.checked(video) if self.checksums else video

    def rows_of_class(self, label: int) -> Int64[np.ndarray, " n"]:
        """The row numbers of a class, ascending."""
        return np.flatnonzero(self.row_labels() == label)

    def __getstate__(self) -> dict[str, Any]:
        """What loader processes get: rows, not how they were found, which names all videos once more."""
        return {name: value for name, value in vars(self).items() if name != "reading"}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}, {self.content_id})"
