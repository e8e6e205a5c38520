"""Data sets that describe whole videos with sentences, read from official lists or from records."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from vidjax.config import DataConfig
from vidjax.data.sources import records
from vidjax.data.sources.annotated_videos import (
    AnnotatedVideo,
    AnnotatedVideos,
    locate_videos,
    read_annotated_videos,
)
from vidjax.data.sources.annotation_checks import caption_warnings, warn, with_captions
from vidjax.data.sources.annotations import CAPTIONS
from vidjax.data.sources.in_memory import InMemorySource
from vidjax.data.sources.inventory import Inventory, Listed
from vidjax.data.sources.official_lists import videos_by_stem
from vidjax.data.sources.rows import Row
from vidjax.errors import DataError


@dataclass(frozen=True)
class Described:
    """A listed video: its file name without extension, its sentences, and its length in seconds (0 if not listed)."""

    stem: str
    captions: tuple[str, ...]
    duration: float = 0.0


@dataclass(frozen=True)
class CaptionedVideos:
    """The functions of a `DatasetSpec` whose rows carry captions.

    Attributes:
      title: title of the data set, for messages.
      name: name of the data set, as in `data.name`.
      read: (root, split) -> the videos that the official lists describe, in order.
      extension: the extension that a missing video should have.
    """

    title: str
    name: str
    read: Callable[[str, str], list[Described]]
    extension: str = ".mp4"

    def open_split(self, root: str, split: str, data: DataConfig, annotation: str) -> InMemorySource:
        """Open a split of the official layout or of records, with its captions.

        Raises:
          DataError: if the annotations are absent or malformed, or no video exists.
        """
        del data, annotation
        whole = self.open_videos(root, split)
        rows = [_row(video) for video in whole.videos]
        warn(caption_warnings(self.title, rows))
        return InMemorySource(whole.name, with_captions(rows), annotation=CAPTIONS)

    def open_videos(self, root: str, split: str) -> AnnotatedVideos:
        """Open the videos of a split with their captions; `official_lists.locate` handles missing files.

        Raises:
          DataError: as `open_split`.
        """
        return locate_videos(self._listed(root, split), self.title, root, split, self.extension)

    def inventory(self, root: str, split: str) -> Inventory:
        """List every video, including missing ones.

        Raises:
          DataError: if the annotations are absent or malformed.
        """
        whole = self._listed(root, split)
        videos = [Listed(video.id, video.video, ()) for video in whole.videos]
        return Inventory(videos, (), notes=caption_warnings(self.title, [_row(video) for video in whole.videos]))

    def _listed(self, root: str, split: str) -> AnnotatedVideos:
        folder = records.find(root)
        if folder:
            return read_annotated_videos(folder, split, self.name)
        found = videos_by_stem([root])
        videos = [
            AnnotatedVideo(
                of.stem,
                found.get(of.stem) or os.path.join(root, of.stem + self.extension),
                {"captions": list(of.captions), "duration": of.duration},
            )
            for of in self.read(root, split)
        ]
        return AnnotatedVideos(f"{self.name}/{split}", videos, ())


def read_json_list(path: str, kind: type) -> Any:
    """Read an official JSON file whose top level is a list or a dict.

    Raises:
      DataError: if it is damaged or of another type.
    """
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(found, kind):
        raise DataError(f"{path} holds a {type(found).__name__}, not the official {kind.__name__}")
    return found


def check_texts(texts: Any, where: str) -> tuple[str, ...]:
    """Return the sentences of a video without surrounding spaces.

    Args:
      where: file and video, for the message.

    Raises:
      DataError: if they are not a list of texts.
    """
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{where}: {str(texts)[:60]!r} is not a list of sentences")
    return tuple(text.strip() for text in texts)


def check_once(videos: Iterable[Described], path: str) -> list[Described]:
    """Return the videos, each of which must be listed once.

    Raises:
      DataError: naming the first video that is listed twice.
    """
    found: dict[str, Described] = {}
    for video in videos:
        if video.stem in found:
            raise DataError(f"{path} lists {video.stem} twice")
        found[video.stem] = video
    return list(found.values())


def _row(video: AnnotatedVideo) -> Row:
    return Row(video.video, 0, video.id, captions=tuple(video.about["captions"]), duration=video.about["duration"])
