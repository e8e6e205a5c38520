"""What the root of a data set lists, there or not: the videos, what each is an example of, and what is odd about it."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field

from vidjax.data.sources import files, records
from vidjax.data.sources.listing import Listing
from vidjax.data.video.readers import FrameWindow, VideoPlace


@dataclass(frozen=True)
class Listed:
    """A video that is listed.

    Attributes:
      classes: numbers; of the video, or of everything in it that has a class.
    """

    id: str
    video: VideoPlace
    classes: tuple[int, ...]

    @property
    def there(self) -> bool:
        """Whether its file exists, or a frame of its folder; what lies in records does."""
        if isinstance(self.video, FrameWindow):
            return bool(self.video.names)
        return not isinstance(self.video, str) or os.path.isfile(self.video)


@dataclass(frozen=True)
class Inventory:
    """A split.

    Attributes:
      names: of the classes.
      unit: what has a class: videos, intervals or frames.
      problems: sentences on what is missing or wrong; notes: on what one should know, and the protocol allows.
      subjects: frames of each; targets: of each frame. Both for data sets of faces only.
    """

    videos: list[Listed]
    names: tuple[str, ...]
    unit: str = "videos"
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    subjects: dict[str, int] = field(default_factory=dict)
    targets: list[tuple[float, float]] = field(default_factory=list)

    def class_counts(self) -> dict[str, int]:
        """How often each class occurs in the videos that are there, by its name, with those that do not."""
        counts = Counter(label for video in self.videos if video.there for label in video.classes)
        return {name: counts[number] for number, name in enumerate(self.names)}


def of_listing(listing: Listing) -> Inventory:
    """What official annotations list."""
    return Inventory([Listed(path, path, (label,)) for path, label in listing.paths()], listing.names)


def of_records(folder: str, split: str) -> Inventory:
    """What records of classes hold."""
    source = records.RecordSource(folder, split)
    labels = source.row_labels().tolist()
    videos = [Listed(f"record {at}", source.place(at), (label,)) for at, label in enumerate(labels)]
    return Inventory(videos, source.labels or _numbers(source.num_classes))


def of_list(root: str, split: str, num_classes: int) -> Inventory:
    """What <split>.csv lists."""
    rows = files.listed(root, split)
    names = files.class_names(root) or _numbers(num_classes or 1 + max(label for _, label in rows))
    videos = [Listed(path, path, (label,)) for path, label in rows]
    outside = [path for path, label in rows if label >= len(names)]
    problems = []
    if outside:
        problems.append(f"{len(outside)} labels are not one of the {len(names)} classes; the first is of {outside[0]}")
    return Inventory(videos, names, problems=problems)


def of_class_folders(root: str, split: str) -> Inventory:
    """What lies in <split>/<class>/."""
    source = files.from_class_folders(root, split, "train", 0)
    rows = [source[number] for number in range(len(source))]
    return Inventory([Listed(row.video, row.video, (row.label,)) for row in rows], source.labels)


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))
