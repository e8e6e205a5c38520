"""Video files on disk as the rows of a data set, with a class each or without."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Int32

from vidjax.data.sources.annotations import LABEL, NOTHING
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.rows import Row, content_id
from vidjax.data.sources.video_tree import size_of


@dataclass(frozen=True)
class Files:
    """Files below a folder.

    Attributes:
      root: the folder.
      names: paths relative to it; one that does not exist is kept: reading it raises a `VideoError` with the reason
        `missing`.
      sizes: in bytes, -1 of a file that is not there.
    """

    root: str
    names: Sequence[str]
    sizes: Sequence[int]

    @classmethod
    def of(cls, root: str, paths: Sequence[str]) -> Self:
        """The files at these paths."""
        return cls(root, [os.path.relpath(path, root) for path in paths], [size_of(path) for path in paths])


class FileSource(VideoSource):
    """Video files, and their class numbers where they have any."""

    def __init__(
        self,
        split: str,
        files: Files,
        labels: Sequence[int] | None = None,
        names: tuple[str, ...] | None = None,
        num_classes: int = 0,
    ):
        """Keep what is known of each file.

        Args:
          labels: None for videos without classes.
          names: of the classes, where they have names.
        """
        self.name, self.labels, self.num_classes = split, names or None, num_classes
        self.annotation = NOTHING if labels is None else LABEL
        self._root, self._names = files.root, files.names
        self._labels = np.zeros(len(files.names), np.int32) if labels is None else np.asarray(labels, np.int32)
        known = zip(files.names, self._labels.tolist(), files.sizes, strict=True)
        self.content_id = content_id([split, num_classes, *known])

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Row:
        return Row(self.checked(self.path(index)), int(self._labels[index]), self._names[index])

    def path(self, index: int) -> str:
        """Where the video of a row is."""
        return os.path.join(self._root, self._names[index])

    def files(self) -> Iterator[str]:
        return (self.path(index) for index in range(len(self)))

    def row_labels(self) -> Int32[np.ndarray, " rows"]:
        return self._labels
