"""Whole videos with all of their annotations, read from an official layout or from records.

A data set whose rows carry more than a class (intervals, captions, numbers, subjects) is stored with all its
annotations: a record holds the video, and its annotations as JSON. `about_<split>.jsonl` beside the records repeats the
annotations in the order of the records, each with its original row, so that rows are known without reading a video.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64

from vidjax.data.sources import labelmap, records
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.official_lists import locate
from vidjax.data.sources.rows import Row, content_id
from vidjax.data.sources.video_tree import listed
from vidjax.data.video.readers import FrameWindow, StoredVideo
from vidjax.errors import DataError


@dataclass(frozen=True)
class AnnotatedVideo:
    """A whole video and its annotations.

    Attributes:
      video: a path, a folder of frames, or a place in records.
      about: its annotations, as JSON values.
    """

    id: str
    video: str | FrameWindow | StoredVideo
    about: dict[str, Any]


class AnnotatedVideos(VideoSource):
    """The whole videos of a split with all their annotations; meant to be stored, not trained on.

    Attributes:
      videos: in the order of the rows.
    """

    annotation = ""  # no single one, since `about` holds all of them

    def __init__(self, name: str, videos: Sequence[AnnotatedVideo], labels: tuple[str, ...]):
        self.name, self.labels, self.num_classes = name, labels, len(labels)
        self.videos = list(videos)
        self.content_id = content_id([name, labels, *((video.id, video.about) for video in self.videos)])

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> Row:
        return Row(self.checked(self.videos[index].video), 0, self.videos[index].id)

    def files(self) -> Iterator[str]:
        return (video.video for video in self.videos if isinstance(video.video, str))

    def row_labels(self) -> Int64[np.ndarray, " rows"]:
        return np.zeros(len(self), np.int64)


def write_annotations(folder: str | os.PathLike, split: str, source: AnnotatedVideos, rows: Iterable[int]) -> None:
    """Write the annotations of a split's records, one line each; `rows` has the source's row of each record."""
    with open(_path(folder, split), "w", encoding="utf-8") as file:
        for row in rows:
            video = source.videos[row]
            file.write(json.dumps({"row": row, "id": video.id, "about": video.about}, ensure_ascii=False) + "\n")


def read_annotated_videos(folder: str, split: str, name: str) -> AnnotatedVideos:
    """Open the records of a split, with the videos in the order of the official layout.

    Args:
      name: name of the data set.

    Raises:
      DataError: when the folder has no such split, or was not prepared as this data set.
    """
    builder, stored = records.open_records(folder, split)
    path = _path(folder, split)
    if "about" not in builder.info.features or not os.path.isfile(path):
        raise DataError(
            f"the records in {folder} lack the annotations of {name}; write them with `vidjax prepare {name}`"
        )
    with open(path, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    if len(lines) != len(stored):
        raise DataError(f"{path} has {len(lines)} lines for {len(stored)} records; prepare the data set again")
    places = sorted(range(len(lines)), key=lambda place: lines[place]["row"])
    videos = [AnnotatedVideo(lines[place]["id"], StoredVideo(stored, place), lines[place]["about"]) for place in places]
    info = builder.info.splits[split]
    title = f"{builder.info.full_name}/{split}/{info.num_bytes}"
    return AnnotatedVideos(title, videos, labelmap.load(folder))


def locate_videos(whole: AnnotatedVideos, title: str, root: str, split: str, extension: str) -> AnnotatedVideos:
    """Handle the missing files of a split as `official_lists.locate` does; records are returned unchanged.

    Raises:
      DataError: as `official_lists.locate`.
    """
    if any(not isinstance(video.video, str) for video in whole.videos):
        return whole
    paths = {video.id: video.video for video in whole.videos if isinstance(video.video, str)}
    order = [(video.id, place) for place, video in enumerate(whole.videos)]
    found = listed(paths.values())
    there = {name: path for name, path in paths.items() if path in found}
    _, places = locate(title, order, there, folder=root, split=split, extension=extension)
    return AnnotatedVideos(whole.name, [whole.videos[place] for place in places], whole.labels or ())


def _path(folder: str | os.PathLike, split: str) -> str:
    return os.path.join(folder, f"about_{split}.jsonl")
