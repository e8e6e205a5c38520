"""What the root of a data set lists, there or not: the videos, the classes of each, and what is wrong with them."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field

from vidjax.data.sources import class_folders, path_lists, records
from vidjax.data.sources.official_lists import Listing
from vidjax.data.video.readers import FrameWindow, VideoPlace


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
        """Whether its file, or a frame of its folder, exists; records always do."""
        if isinstance(self.video, FrameWindow):
            return bool(self.video.names)
        return not isinstance(self.video, str) or os.path.isfile(self.video)


@dataclass(frozen=True)
class Inventory:
    """Everything listed of a split.

    Attributes:
      names: class names.
      unit: what has a class: videos, intervals or frames.
      problems: what is missing or wrong, in sentences; notes: what one should know and the protocol allows.
      subjects: number of frames of each subject; targets: the target of each frame. Only data sets of faces have them.
    """

    videos: list[Listed]
    names: tuple[str, ...]
    unit: str = "videos"
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    subjects: dict[str, int] = field(default_factory=dict)
    targets: list[tuple[float, float]] = field(default_factory=list)

    def class_counts(self) -> dict[str, int]:
        """Count each class in the videos that are there, by name; classes that do not occur count 0."""
        counts = Counter(label for video in self.videos if video.there for label in video.classes)
        return {name: counts[number] for number, name in enumerate(self.names)}


def of_listing(listing: Listing) -> Inventory:
    """List what official annotations name."""
    return Inventory([Listed(path, path, (label,)) for path, label in listing.paths()], listing.names)


def of_records(folder: str, split: str) -> Inventory:
    """List what records of one class each hold."""
    source = records.RecordSource(folder, split)
    labels = source.row_labels().tolist()
    videos = [Listed(f"record {at}", source.place(at), (label,)) for at, label in enumerate(labels)]
    return Inventory(videos, source.labels or _numbers(source.num_classes))


def of_list(root: str, split: str, num_classes: int) -> Inventory:
    """List the lines of <split>.csv."""
    rows = path_lists.listed(root, split)
    names = path_lists.class_names(root) or _numbers(num_classes or 1 + max(label for _, label in rows))
    videos = [Listed(path, path, (label,)) for path, label in rows]
    outside = [path for path, label in rows if label >= len(names)]
    problems = []
    if outside:
        problems.append(f"{len(outside)} labels are not one of the {len(names)} classes; the first is of {outside[0]}")
    return Inventory(videos, names, problems=problems)


def of_class_folders(root: str, split: str) -> Inventory:
    """List what lies in <split>/<class>/."""
    source = class_folders.from_class_folders(root, split, "train", 0)
    paths = [source.path(row) for row in range(len(source))]
    rows = zip(paths, source.row_labels().tolist(), strict=True)
    videos = [Listed(path, path, (label,)) for path, label in rows]
    return Inventory(videos, source.labels or _numbers(source.num_classes))


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))
