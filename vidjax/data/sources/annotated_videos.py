"""Whole videos with all that their annotations say, from an official layout or from records: the same rows of both.

A data set whose rows are more than a class (intervals, captions, numbers, subjects) is stored as such: a record holds
the video and, as JSON, what is known of it. `about_<split>.jsonl` repeats that beside the records, in their order and
with the row that each was, so that no video has to be read to know the rows.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64

from vidjax.data.sources import labelmap, records
from vidjax.data.sources.rows import Row, content_id
from vidjax.data.video.readers import FrameWindow, StoredVideo
from vidjax.errors import DataError


@dataclass(frozen=True)
class Kept:
    """A whole video.

    Attributes:
      video: a path, a folder of frames, or a place in records.
      about: what the annotations say of it; JSON.
    """

    id: str
    video: str | FrameWindow | StoredVideo
    about: dict[str, Any]


class KeptSource:
    """The whole videos of a split with what is known of each; a `VideoSource` to be stored, not to be learned from.

    Attributes:
      name: of data set and split, and of the records if it comes from some.
      labels: names of the classes.
    """

    fact = ""

    def __init__(self, name: str, videos: Sequence[Kept], labels: tuple[str, ...]):
        self.name, self.labels, self.num_classes = name, labels, len(labels)
        self.videos = list(videos)
        self.content_id = content_id([name, labels, *((kept.id, kept.about) for kept in self.videos)])

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> Row:
        return Row(self.videos[index].video, 0, self.videos[index].id)

    def __repr__(self) -> str:
        return f"KeptSource({self.name}, {self.content_id})"

    def rows_of_class(self, label: int) -> Int64[np.ndarray, " n"]:
        """All rows: what classes a video has stands in its annotations."""
        return np.arange(len(self))


def write_abouts(folder: str | os.PathLike, split: str, source: KeptSource, rows: Iterable[int]) -> None:
    """Write what is known of the records of a split, a line each; `rows` are those of the source in their order."""
    with open(_path(folder, split), "w", encoding="utf-8") as file:
        for row in rows:
            kept = source.videos[row]
            file.write(json.dumps({"row": row, "id": kept.id, "about": kept.about}, ensure_ascii=False) + "\n")


def read_kept(folder: str, split: str, name: str) -> KeptSource:
    """The videos that records hold of a split, in the order that they had in the official layout.

    Args:
      name: of the data set.

    Raises:
      DataError: when the folder has no such split, or was not prepared as this data set.
    """
    builder, stored = records.open_records(folder, split)
    path = _path(folder, split)
    if "about" not in builder.info.features or not os.path.isfile(path):
        raise DataError(
            f"the records in {folder} do not hold what {name} annotates; write them with `vidjax prepare {name}`"
        )
    with open(path, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    if len(lines) != len(stored):
        raise DataError(f"{path} has {len(lines)} lines for {len(stored)} records; prepare the data set again")
    videos = [(line["row"], Kept(line["id"], StoredVideo(stored, at), line["about"])) for at, line in enumerate(lines)]
    videos.sort(key=lambda pair: pair[0])
    info = builder.info.splits[split]
    title = f"{builder.info.full_name}/{split}/{info.num_bytes}"
    return KeptSource(title, [kept for _, kept in videos], labelmap.load(folder))


def _path(folder: str | os.PathLike, split: str) -> str:
    return os.path.join(folder, f"about_{split}.jsonl")
