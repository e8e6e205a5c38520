"""An in-memory `VideoSource`: a list of rows with their labels, targets, intervals or captions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int64

from vidjax.data.sources.annotations import LABEL
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.rows import Row, content_id
from vidjax.data.sources.video_tree import size_of, spread
from vidjax.data.video.readers import FrameWindow, StoredVideo, VideoPlace
from vidjax.errors import DataError


class InMemorySource(VideoSource):
    """A list of rows."""

    def __init__(
        self,
        name: str,
        rows: Sequence[Row],
        *,
        annotation: str = LABEL,
        labels: tuple[str, ...] | None = None,
        num_classes: int = 0,
    ):
        """Keep the rows.

        Args:
          name: name of the data set and the split.
          annotation: what the rows carry, a name in `vidjax.data.sources.annotations.ANNOTATIONS`.
          labels: names of the classes, or of the components of a target.
          num_classes: by default the number of names.

        Raises:
          DataError: when there are no rows.
        """
        if not rows:
            raise DataError(f"{name} has no rows")
        self.name, self.annotation, self.labels = name, annotation, labels
        self.num_classes = num_classes or len(labels or ())
        self._rows = list(rows)
        self._labels = np.array([row.label for row in rows])
        groups = [row.group for row in rows if row.group]
        actions = [(row.window, row.action) for row in rows if row.action]
        known = ((row.id, _place(row.video), row.label, row.target, row.intervals, row.captions) for row in rows)
        sizes = [size_of(video) for at in spread(len(rows)) if isinstance(video := rows[at].video, str)]
        carried = "" if annotation == LABEL else annotation
        self.content_id = content_id([name, carried, self.num_classes, *known, *groups, *actions, sizes])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Row:
        row = self._rows[int(index)]
        return dataclasses.replace(row, video=self.checked(row.video)) if self.checksums else row

    def files(self) -> Iterator[str]:
        return (row.video for row in self._rows if isinstance(row.video, str))

    def row_labels(self) -> Int64[np.ndarray, " rows"]:
        return self._labels


def _place(video: VideoPlace | None) -> int:
    """The first frame of a window; -1 for a whole file."""
    return video.first if isinstance(video, FrameWindow | StoredVideo) else -1
