"""Find what is wrong with the root of a data set: missing annotations, files and classes, and unreadable videos.

The audit searches a root as `open_source` does (`sources.root_layouts`), and compares what it finds with the data set's
`DatasetSpec`.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Sequence

from vidjax.config import DataConfig
from vidjax.data.datasets import DATASETS, DatasetSpec
from vidjax.data.prepare.codec import CHECKS
from vidjax.data.sources.annotation_checks import class_warnings
from vidjax.data.sources.checksums import Checksums, find_checksums
from vidjax.data.sources.inventory import Inventory, Listed
from vidjax.data.sources.own_videos import ALL
from vidjax.data.sources.root_layouts import OFFICIAL, find_layout
from vidjax.data.video.checked_file import CheckedFile
from vidjax.data.video.decode import VideoInfo
from vidjax.errors import ConfigError, DataError, VideoError


@dataclasses.dataclass(frozen=True)
class Opening:
    """How many videos an audit opens, and how it checks them.

    Attributes:
      check: `index` or `decode`; empty to look at names only.
      at_most: the largest number of videos to open in each split, evenly spread; 0 for all.
      threads: videos opened at a time.
      adding_checksums: whether videos without a checksum get one afterwards. If so, neither a missing checksum nor an
        open-ended file (one that does not declare its length) is a problem.
      on_video: called after each video.
    """

    check: str = ""
    at_most: int = 0
    threads: int = 1
    adding_checksums: bool = False
    on_video: Callable[[], None] = lambda: None


@dataclasses.dataclass
class SplitAudit:
    """The findings for one split.

    Attributes:
      layout: name of the layout found, for example one of `vidjax.data.sources.root_layouts.LAYOUTS`; empty if none.
      reading: a sentence on how a user's own videos were read and divided.
      hashed: whether the videos were divided by a hash of each name.
      listed: number of videos listed; missing: the listed videos that do not exist.
      classes: number of classes that occur; num_classes: number of classes in total.
      class_counts: how often each class occurs, counted in `unit`.
      subjects: number of frames of each subject, where subjects are known.
      unreadable: one dict for each video that could not be read: id, reason, detail.
      problems: sentences about faults; notes: sentences about what the protocol allows but a user should know.
      measured: the properties of the videos that were read; targets: the targets of all frames.
      read: the files that were opened without an error.
    """

    split: str
    layout: str = ""
    reading: str = ""
    hashed: bool = False
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
    read: list[str] = dataclasses.field(default_factory=list)

    def as_json(self) -> dict:
        """Everything except the long lists `measured`, `targets` and `read`."""
        return {key: value for key, value in vars(self).items() if key not in ("measured", "targets", "read")}


_NAMES_ONLY, _BY_DEFAULT = Opening(), DataConfig()


def audit(
    name: str,
    root: str,
    splits: tuple[str, ...] = (),
    opening: Opening = _NAMES_ONLY,
    data: DataConfig = _BY_DEFAULT,
) -> list[SplitAudit]:
    """Check the splits of a data set.

    Args:
      name: a `data.name` of a data set with a root.
      splits: the splits to check; by default those of the data set's `DatasetSpec`.
      opening: which of the existing videos are opened, and how.
      data: settings that divide a user's own videos into splits and name the list of checksums.

    Raises:
      ConfigError: when there is no data set of that name, or when vidjax generates its videos.
      DataError: when root is not a folder (or a list, for a user's own videos), or the list of checksums is missing
        or malformed.
    """
    root, spec = os.path.abspath(os.path.expanduser(root)), DATASETS.find(name)
    if not spec.needs_root:
        raise ConfigError(f"vidjax generates the videos of {name}; there is nothing to check")
    if not os.path.isdir(root) and not (spec.any_videos and os.path.isfile(root)):
        raise DataError(f"{root} is not a folder; --root is the folder that holds {spec.layout}")
    audits, listed, said, checksums = [], {}, set(), find_checksums(root, data)
    for split in splits or spec.splits:
        about = SplitAudit(split)
        audits.append(about)
        try:
            about.layout, found = _find(spec, root, split, data)
        except DataError as error:
            about.problems.append(str(error))
            continue
        about.problems = [problem for problem in found.problems if problem not in said]
        about.notes = [note for note in found.notes if note not in said]
        said |= {*found.problems, *found.notes}  # a finding that several splits share is reported once
        _compare(about, found, spec)
        if checksums:
            found = _with_checksums(about, found, checksums, opening)
        if opening.check:
            _read(about, found, opening)
        if about.layout == OFFICIAL.name:  # in other layouts, equal names may be different videos
            listed[split] = {os.path.basename(video.id) for video in found.videos}
    for about in audits:
        for train in [split for split in listed if split.startswith("train") and not about.split.startswith("train")]:
            shared = sorted(listed[train] & listed.get(about.split, set()))
            if shared:
                about.problems.append(f"{len(shared)} videos are in {train!r} too; the first is {shared[0]}")
    if checksums and (gone := checksums.gone()):
        audits[0].problems.append(f"{len(gone)} files listed in {checksums.path} are missing; the first is {gone[0]}")
    if spec.any_videos:
        _warn_of_classes(audits)
    return audits


def training_split(audits: Sequence[SplitAudit]) -> tuple[SplitAudit | None, SplitAudit | None]:
    """Return the first split to train on and the first that is not, each None if there is none."""
    train = next((about for about in audits if about.split == ALL or about.split.startswith("train")), None)
    return train, next((about for about in audits if about is not train and not about.split.startswith("train")), None)


def _warn_of_classes(audits: list[SplitAudit]) -> None:
    """Add notes about classes with too few videos to the training split."""
    train, other = training_split(audits)
    if train and train.class_counts and train.unit == "videos":
        train.notes += class_warnings(train.class_counts, other.class_counts if other else None)


def _compare(about: SplitAudit, found: Inventory, spec: DatasetSpec) -> None:
    """Compare the existing files with the listed videos and with the published counts."""
    about.listed, about.num_classes, about.unit = len(found.videos), len(found.names), found.unit
    about.reading, about.hashed = found.reading, found.hashed
    about.missing = [video.id for video in found.videos if not video.there]
    about.class_counts, about.subjects, about.targets = found.class_counts(), found.subjects, found.targets
    about.classes = sum(count > 0 for count in about.class_counts.values())
    if about.missing:
        about.problems.append(
            f"{len(about.missing)} of {about.listed} listed videos are missing; the first is {about.missing[0]}"
        )
    expected = spec.num_classes or about.num_classes
    if about.num_classes < expected:
        about.problems.append(f"only {about.num_classes} classes are named; {spec.title} has {expected}")
    elif about.classes < expected and (spec.num_classes or about.split.startswith("train")):
        empty = next(name for name, count in about.class_counts.items() if not count)
        about.problems.append(
            f"{expected - about.classes} of {expected} classes have no {found.unit[:-1]}; the first is {empty}"
        )
    number = spec.videos.get(about.split, 0)
    if about.listed < number:
        about.problems.append(f"only {about.listed} videos are listed; {spec.title} has {number} in this split")


def _with_checksums(about: SplitAudit, found: Inventory, checksums: Checksums, opening: Opening) -> Inventory:
    """Attach the known checksums to the videos, and report videos without a checksum as a problem."""
    videos = [dataclasses.replace(listed, video=checksums.checked(listed.video)) for listed in found.videos]
    with_one = sum(isinstance(listed.video, CheckedFile) for listed in videos)
    if with_one and not opening.check:
        about.notes.append(f"{with_one} videos have a checksum in {checksums.path}; --read verifies them")
    unlisted = [listed.video for listed in videos if listed.there and isinstance(listed.video, str)]
    if unlisted and not opening.adding_checksums:
        about.problems.append(
            f"{len(unlisted)} videos have no checksum in {checksums.path}; the first is {unlisted[0]}; "
            "--write-checksums adds them"
        )
    return dataclasses.replace(found, videos=videos)


def _read(about: SplitAudit, found: Inventory, opening: Opening) -> None:
    def look(video: Listed) -> VideoInfo | dict[str, str]:
        try:
            return CHECKS[opening.check](video.video, open_ended=opening.adding_checksums)
        except VideoError as error:
            return {"id": video.id, "reason": error.reason, "detail": error.detail}
        finally:
            opening.on_video()

    there = [video for video in found.videos if video.there]
    if 0 < opening.at_most < len(there):
        about.notes.append(f"{opening.at_most} of {len(there)} videos were opened, evenly spread")
        there = [there[number * len(there) // opening.at_most] for number in range(opening.at_most)]
    with concurrent.futures.ThreadPoolExecutor(opening.threads) as pool:
        answers = list(pool.map(look, there))
    about.unreadable = [answer for answer in answers if isinstance(answer, dict)]
    about.measured = [answer for answer in answers if isinstance(answer, VideoInfo)]
    about.read = [
        os.fspath(video.video)
        for video, answer in zip(there, answers, strict=True)
        if isinstance(answer, VideoInfo) and isinstance(video.video, str | os.PathLike)
    ]
    if about.unreadable:
        reasons = Counter(failure["reason"] for failure in about.unreadable)
        told = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        count = len(about.unreadable)
        about.problems.append(f"{count} video{'s' * (count != 1)} cannot be read: {told}")


def _find(spec: DatasetSpec, root: str, split: str, data: DataConfig) -> tuple[str, Inventory]:
    """Find a split below a root; return the name of its layout and the videos that it lists."""
    if spec.any_videos and spec.inventory is not None and (os.path.isfile(root) or os.listdir(root)):
        found = spec.inventory(root, split, data)
        return found.layout, found
    layout = find_layout(spec, root, split)
    if layout is None:
        there = ", ".join(sorted(os.listdir(root))[:8]) or "nothing"
        raise DataError(f"{root} has no split {split!r}; found {there}, expected {spec.layout}")
    return layout.name, layout.inventory(spec, root, split)
