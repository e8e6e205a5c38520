"""Video files on disk as the rows of a data set."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32

from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.rows import Row, content_id


class FileSource(VideoSource):
    """Video files and their class numbers.

    A path that does not exist is kept: reading it raises a `VideoError` with the reason `missing`.
    """

    def __init__(
        self,
        root: str,
        split: str,
        paths: Sequence[str],
        labels: Sequence[int],
        names: tuple[str, ...] | None,
        num_classes: int,
    ):
        self.name, self.labels, self.num_classes = split, names or None, num_classes
        self._root = root
        self._paths = [os.path.relpath(path, root) for path in paths]
        self._labels = np.asarray(labels, np.int32)
        sizes = (_size(path) for path in paths)
        self.content_id = content_id([split, num_classes, *zip(self._paths, labels, sizes, strict=True)])

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Row:
        return Row(self.path(index), int(self._labels[index]), self._paths[index])

    def path(self, index: int) -> str:
        """Where the video of a row is."""
        return os.path.join(self._root, self._paths[index])

    def row_labels(self) -> Int32[np.ndarray, " rows"]:
        return self._labels


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return -1
