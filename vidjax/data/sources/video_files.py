"""Video files on disk as the rows of a data set, with or without classes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Int32

from vidjax.data.in_place import placed
from vidjax.data.sources.annotations import LABEL, NOTHING
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.rows import Row, content_id
from vidjax.data.sources.texts import Texts
from vidjax.data.sources.video_tree import size_of, spread


@dataclass(frozen=True)
class Files:
    """Files below a folder.

    Attributes:
      root: the folder.
      names: paths relative to it. Names of missing files are kept; reading one raises a `VideoError` with the reason
        `missing`.
    """

    root: str
    names: Texts

    @classmethod
    def of(cls, root: str, paths: Iterable[str]) -> Self:
        """The files at these paths."""
        return cls(root, Texts.of(os.path.relpath(path, root) for path in paths))


class FileSource(VideoSource):
    """Video files, with a class number each or without classes."""

    def __init__(
        self,
        split: str,
        files: Files,
        labels: Sequence[int] | Int32[np.ndarray, " rows"] | None = None,
        names: tuple[str, ...] | None = None,
        num_classes: int = 0,
    ):
        """Keep the files and their classes.

        Args:
          labels: class numbers; None for videos without classes.
          names: class names, if there are any.
        """
        self.name, self.labels, self.num_classes = split, names or None, num_classes
        self.annotation = NOTHING if labels is None else LABEL
        self._root, self._names = files.root, files.names
        self._labels = None if labels is None else placed(np.asarray(labels, np.int32))
        classes = "" if self._labels is None else hashlib.sha256(self._labels.tobytes()).hexdigest()
        sizes = [size_of(self.path(index)) for index in spread(len(self))]
        self.content_id = content_id([split, num_classes, self._names.digest(), classes, sizes])

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Row:
        name, label = self._names[index], 0 if self._labels is None else int(self._labels[index])
        return Row(self.checked(os.path.join(self._root, name)), label, name)

    def path(self, index: int) -> str:
        """The path of a row's video."""
        return os.path.join(self._root, self._names[index])

    def files(self) -> Iterator[str]:
        return (os.path.join(self._root, name) for name in self._names)

    def row_labels(self) -> Int32[np.ndarray, " rows"]:
        return np.broadcast_to(np.int32(0), len(self)) if self._labels is None else self._labels
