"""List the videos that a data set should have, including missing files, with their classes and any problems."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field

from vidjax.config import DataConfig
from vidjax.data.sources import records
from vidjax.data.sources.annotations import LABEL
from vidjax.data.sources.official_lists import Listing
from vidjax.data.sources.own_rows import ClassNumbers
from vidjax.data.sources.own_videos import read_own_videos
from vidjax.data.sources.reading import describe
from vidjax.data.video.readers import FrameWindow, VideoPlace
from vidjax.errors import DataError


@dataclass(frozen=True)
class Listed:
    """A listed video.

    Attributes:
      classes: class numbers of the video, or of everything in it that has a class.
    """

    id: str
    video: VideoPlace
    classes: tuple[int, ...]

    @property
    def there(self) -> bool:
        """Whether its file, or at least one frame of its folder, exists; always true of records."""
        if isinstance(self.video, FrameWindow):
            return bool(self.video.names)
        return not isinstance(self.video, str | os.PathLike) or os.path.isfile(self.video)


@dataclass(frozen=True)
class Inventory:
    """Everything listed for a split.

    Attributes:
      names: class names; empty for videos without classes.
      unit: the things that have classes: videos, intervals, segments or frames.
      problems: sentences about faults; notes: sentences about what the protocol allows but a user should know.
      subjects: number of frames of each subject; targets: the target of each frame. Only data sets of faces have them.
      layout: name of the layout of a user's own videos or of records.
      reading: for a user's own videos, how they were read and divided, in a sentence.
      hashed: whether a hash of each name assigned the videos to this split.
    """

    videos: list[Listed]
    names: tuple[str, ...]
    unit: str = "videos"
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    subjects: dict[str, int] = field(default_factory=dict)
    targets: list[tuple[float, float]] = field(default_factory=list)
    layout: str = ""
    reading: str = ""
    hashed: bool = False

    def class_counts(self) -> dict[str, int]:
        """Count each class among the videos that exist, by name; classes that do not occur count 0."""
        counts = Counter(label for video in self.videos if video.there for label in video.classes)
        return {name: counts[number] for number, name in enumerate(self.names)}


def of_listing(listing: Listing) -> Inventory:
    """List the videos that official annotations name."""
    return Inventory([Listed(path, path, (label,)) for path, label in listing.paths()], listing.names)


def of_records(folder: str, split: str) -> Inventory:
    """List the videos in records, with one class each or none."""
    source = records.RecordSource(folder, split)
    classes = [(label,) if source.annotation == LABEL else () for label in source.row_labels().tolist()]
    videos = [Listed(f"record {at}", source.place(at), own) for at, own in enumerate(classes)]
    return Inventory(videos, source.labels or _numbers(source.num_classes), layout="records")


def of_own_videos(root: str, split: str, data: DataConfig, *, divide: bool = True) -> Inventory:
    """List the videos of a folder or a list, divided as by `read_own_videos`."""
    own = read_own_videos(root, split, data, divide=divide)
    numbers, videos, outside = ClassNumbers(own, split, data), [], []
    for entry in own.splits[split]:
        path, classes = os.path.join(own.root, entry.name), ()
        try:
            classes = numbers.of(entry)
        except DataError:
            outside.append(path)
        videos.append(Listed(path, path, classes))
    names = () if own.unlabelled else own.names or _numbers(numbers.count)
    problems = []
    if outside:
        problems.append(
            f"videos with a label outside the {len(names)} classes: {len(outside)}; the first is {outside[0]}"
        )
    notes, reading = [own.unlabelled] if own.unlabelled else [], describe(own, data).sentence
    hashed = split in own.hashed
    return Inventory(videos, names, problems=problems, notes=notes, layout=own.layout, reading=reading, hashed=hashed)


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))
