"""What is missing in the root of a data set: annotations, files, classes, videos that cannot be read.

What a root holds is found by the order of `_LAYOUTS`, as `open_source` does; what it should hold is stated by the data
set's own module in `vidjax.data.datasets`.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import importlib
import os
from collections import Counter
from collections.abc import Callable
from types import ModuleType

from vidjax.data.datasets import WITH_FACTS
from vidjax.data.prepare.codec import CHECKS
from vidjax.data.sources import inventory, records
from vidjax.data.sources.inventory import Inventory, Listed
from vidjax.data.video.decode import VideoInfo
from vidjax.errors import DataError, VideoError

_PUBLISHED = "official annotations"


@dataclasses.dataclass(frozen=True)
class Known:
    """What is published of a data set; of class folders, nothing.

    Attributes:
      module: of `vidjax.data.datasets`.
      layout: of the root, in words.
      videos: how many each split lists, where that does not change.
      splits: that are looked for by default, and prepared.
    """

    title: str = "videos in folders"
    module: ModuleType | None = None
    layout: str = "<split>/<class>/<video>, or <split>.csv with lines `path label`, or prepared records"
    num_classes: int = 0
    videos: dict[str, int] = dataclasses.field(default_factory=dict)
    splits: tuple[str, ...] = ("train", "val")


def known(name: str) -> Known:
    """What the module of a data set states."""
    if name == "folder":
        return Known()
    module = importlib.import_module(f"vidjax.data.datasets.{WITH_FACTS.get(name, name)}")
    splits = getattr(module, "SPLITS", Known.splits)
    return Known(module.TITLE, module, module.LAYOUT, module.NUM_CLASSES, module.VIDEOS, splits)


@dataclasses.dataclass
class SplitAudit:
    """One split.

    Attributes:
      layout: records, official annotations, list or class folders.
      listed: videos; missing: paths that are listed and not there.
      classes: that occur; num_classes: that there are; class_counts: how often each occurs, in `unit`s.
      subjects: frames of each, where they are known.
      unreadable: one dict a video that was read and failed: id, reason, detail.
      problems: sentences; notes: on what one should know, and the protocol allows.
      measured: of the videos that were read; targets: of all frames. Both are for charts.
    """

    split: str
    layout: str = ""
    listed: int = 0
    missing: list[str] = dataclasses.field(default_factory=list)
    classes: int = 0
    num_classes: int = 0
    unit: str = "videos"
    class_counts: dict[str, int] = dataclasses.field(default_factory=dict)
    subjects: dict[str, int] = dataclasses.field(default_factory=dict)
    unreadable: list[dict[str, str]] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    measured: list[VideoInfo] = dataclasses.field(default_factory=list)
    targets: list[tuple[float, float]] = dataclasses.field(default_factory=list)

    def as_json(self) -> dict:
        """Everything but what only charts need, which is long."""
        return {key: value for key, value in vars(self).items() if key not in ("measured", "targets")}


def audit(
    name: str,
    root: str,
    splits: tuple[str, ...] = (),
    *,
    read: str = "",
    threads: int = 1,
    on_video: Callable[[], None] = lambda: None,
) -> list[SplitAudit]:
    """Look at the splits of a data set.

    Args:
      name: one of `vidjax.data.datasets.ON_DISK`.
      splits: default the usual ones of the data set.
      read: `index` or `decode` to open every video that is there; empty to look at names only.
      on_video: called after each video that was read.

    Raises:
      DataError: when root is not a folder.
    """
    root, published = os.path.abspath(os.path.expanduser(root)), known(name)
    if not os.path.isdir(root):
        raise DataError(f"{root} is not a folder; --root is the folder that holds {published.layout}")
    audits, listed, said = [], {}, set()
    for split in splits or published.splits:
        about = SplitAudit(split)
        audits.append(about)
        try:
            about.layout, found = _find(published, root, split)
        except DataError as error:
            about.problems.append(str(error))
            continue
        about.problems = [problem for problem in found.problems if problem not in said]
        about.notes = [note for note in found.notes if note not in said]
        said |= {*found.problems, *found.notes}  # what is true of all splits stands with the first
        _compare(about, found, published)
        if read:
            _read(about, found, read, threads, on_video)
        if about.layout == _PUBLISHED:  # elsewhere equal names may be different videos
            listed[split] = {os.path.basename(video.id) for video in found.videos}
    for about in audits:
        for train in [split for split in listed if split.startswith("train") and not about.split.startswith("train")]:
            shared = sorted(listed[train] & listed.get(about.split, set()))
            if shared:
                about.problems.append(f"{len(shared)} videos are in {train!r} too; the first is {shared[0]}")
    return audits


def _compare(about: SplitAudit, found: Inventory, published: Known) -> None:
    """What there is, against what is listed and what is published."""
    about.listed, about.num_classes, about.unit = len(found.videos), len(found.names), found.unit
    about.missing = [video.id for video in found.videos if not video.there]
    about.class_counts, about.subjects, about.targets = found.class_counts(), found.subjects, found.targets
    about.classes = sum(count > 0 for count in about.class_counts.values())
    if about.missing:
        about.problems.append(
            f"{len(about.missing)} of {about.listed} listed videos are not there; the first is {about.missing[0]}"
        )
    expected = published.num_classes or about.num_classes
    if about.num_classes < expected:
        about.problems.append(f"it names {about.num_classes} classes; {published.title} has {expected}")
    elif about.classes < expected and (published.num_classes or about.split.startswith("train")):
        empty = next(name for name, count in about.class_counts.items() if not count)
        about.problems.append(
            f"{expected - about.classes} of {expected} classes have no {found.unit[:-1]}; the first is {empty}"
        )
    number = published.videos.get(about.split, 0)
    if about.listed < number:
        about.problems.append(f"it lists {about.listed} videos; {published.title} has {number}")


def _read(about: SplitAudit, found: Inventory, check: str, threads: int, on_video: Callable[[], None]) -> None:
    def look(video: Listed) -> VideoInfo | dict[str, str]:
        try:
            return CHECKS[check](video.video)
        except VideoError as error:
            return {"id": video.id, "reason": error.reason, "detail": error.detail}
        finally:
            on_video()

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        answers = list(pool.map(look, [video for video in found.videos if video.there]))
    about.unreadable = [answer for answer in answers if isinstance(answer, dict)]
    about.measured = [answer for answer in answers if isinstance(answer, VideoInfo)]
    if about.unreadable:
        reasons = Counter(failure["reason"] for failure in about.unreadable)
        told = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        about.problems.append(f"{len(about.unreadable)} videos cannot be read: {told}")


def _find(published: Known, root: str, split: str) -> tuple[str, Inventory]:
    for layout, look in _LAYOUTS.items():
        found = look(published, root, split)
        if found:
            return layout, found
    there = ", ".join(sorted(os.listdir(root))[:8]) or "nothing"
    raise DataError(f"nothing of it is under {root}, which has {there}; expected {published.layout}")


def _as_records(published: Known, root: str, split: str) -> Inventory | None:
    folder = records.find(root)
    if folder is None:
        return None
    own = getattr(published.module, "inventory", None)  # of a data set whose rows are more than a class
    return own(root, split) if own else inventory.of_records(folder, split)


def _as_published(published: Known, root: str, split: str) -> Inventory | None:
    if published.module is None or not published.module.annotations(root, split):
        return None
    own = getattr(published.module, "inventory", None)
    return own(root, split) if own else inventory.of_listing(published.module.listing(root, split))


def _as_list(published: Known, root: str, split: str) -> Inventory | None:
    if not os.path.isfile(os.path.join(root, f"{split}.csv")):
        return None
    return inventory.of_list(root, split, published.num_classes)


def _as_class_folders(published: Known, root: str, split: str) -> Inventory | None:
    return inventory.of_class_folders(root, split) if os.path.isdir(os.path.join(root, split)) else None


_LAYOUTS = {
    "records": _as_records,
    _PUBLISHED: _as_published,
    "list": _as_list,
    "class folders": _as_class_folders,
}
