"""What is missing in the root of a data set: annotations, files, classes, videos that cannot be read.

`KNOWN` says what each data set should hold; a further one is a line there and a module of `vidjax.data.datasets` with
`annotations` and `listing`. What a root holds is found by the order of `_LAYOUTS`, as `open_source` does.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import importlib
import os
from collections import Counter
from collections.abc import Callable

from vidjax.data import files, records
from vidjax.data.rows import Row
from vidjax.data.storing import Storing
from vidjax.errors import DataError, VideoError

_PUBLISHED = "official annotations"


@dataclasses.dataclass(frozen=True)
class Known:
    """What is published of a data set.

    Attributes:
      module: of `vidjax.data.datasets` that reads the official annotations; empty if there are none.
      splits: that are looked for by default; videos: how many each lists, where that does not change.
      layout: of the root, in words.
    """

    title: str
    module: str = ""
    splits: tuple[str, ...] = ("train", "val")
    num_classes: int = 0
    videos: dict[str, int] = dataclasses.field(default_factory=dict)
    layout: str = "<split>/<class>/<video>, or <split>.csv with lines `path label`, or prepared records"


_KINETICS = "annotations/{train,val}.csv and {train,val}/[<class>/]<youtube_id>_<start>_<end>.mp4"
KNOWN = {
    "folder": Known("videos in folders"),
    "kinetics400": Known(
        "Kinetics-400", "kinetics400", num_classes=400,  # clips vanish from the web, and lists differ
        layout=_KINETICS,
    ),
    "ssv2": Known(
        "Something-Something V2", "ssv2", num_classes=174, videos={"train": 168_913, "val": 24_777, "test": 27_157},
        layout="labels/{labels,train,validation}.json and 20bn-something-something-v2/<id>.webm",
    ),
    "ucf101": Known(
        "UCF101", "ucf101", num_classes=101, videos={"train": 9_537, "val": 3_783, "test": 3_783},
        layout="ucfTrainTestlist/{classInd,trainlist01,testlist01}.txt and UCF-101/<Class>/<clip>.avi",
    ),
    "kinetics600": Known(
        "Kinetics-600", "kinetics600", num_classes=600,
        layout=_KINETICS,
    ),
    "kinetics700": Known(
        "Kinetics-700", "kinetics700", num_classes=700,
        layout=_KINETICS,
    ),
    "hmdb51": Known(
        "HMDB51", "hmdb51", num_classes=51, videos={"train": 3_570, "val": 1_530, "test": 1_530},
        layout="testTrainMulti_7030_splits/<class>_test_split{1,2,3}.txt and <class>/<name>.avi",
    ),
    "coin": Known(
        "COIN", "coin", num_classes=180, videos={"train": 9_030, "val": 2_797, "test": 2_797},
        layout="COIN.json and videos/<recipe_type>/<id>.mp4",
    ),
    "coin_domains": Known(
        "COIN, domains", "coin_domains", num_classes=12,
        layout="COIN.json, taxonomy.csv with lines `domain,task`, and videos/<recipe_type>/<id>.mp4",
    ),
    "charades": Known(
        "Charades", "charades", videos={"train": 7_985, "val": 1_863, "test": 1_863},
        layout="Charades/Charades_v1_{train,test}.csv, Charades_v1_classes.txt, and Charades_v1_480/<id>.mp4",
    ),
}  # fmt: skip


@dataclasses.dataclass
class SplitAudit:
    """One split.

    Attributes:
      layout: records, official annotations, list or class folders.
      listed: videos; missing: paths that are listed and not there.
      classes: that occur; num_classes: that there are.
      unreadable: one dict a video that was read and failed: id, reason, detail.
      problems: sentences.
    """

    split: str
    layout: str = ""
    listed: int = 0
    missing: list[str] = dataclasses.field(default_factory=list)
    classes: int = 0
    num_classes: int = 0
    unreadable: list[dict[str, str]] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class _Found:
    """Rows of a split as its layout has them: ids with class numbers, and a function that fetches a row's video."""

    layout: str
    rows: list[tuple[str, int]]
    num_classes: int
    is_there: Callable[[int], bool]
    fetch: Callable[[int], str | bytes]


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
      name: one of `KNOWN`.
      splits: default the usual ones of the data set.
      read: `index` or `decode` to open every video that is there; empty to look at names only.
      on_video: called after each video that was read.

    Raises:
      DataError: when root is not a folder.
    """
    root = os.path.abspath(os.path.expanduser(root))
    if not os.path.isdir(root):
        raise DataError(f"{root} is not a folder; --root is the folder that holds {KNOWN[name].layout}")
    audits, listed = [], {}
    for split in splits or KNOWN[name].splits:
        about = SplitAudit(split)
        audits.append(about)
        try:
            found = _find(name, root, split)
        except DataError as error:
            about.problems.append(str(error))
            continue
        _compare(about, found, KNOWN[name])
        if read:
            _read(about, found, read, threads, on_video)
        if found.layout == _PUBLISHED:  # elsewhere equal names may be different videos
            listed[split] = {os.path.basename(row) for row, _ in found.rows}
    for about in audits:
        for train in [split for split in listed if split.startswith("train") and not about.split.startswith("train")]:
            shared = sorted(listed[train] & listed.get(about.split, set()))
            if shared:
                about.problems.append(f"{len(shared)} videos are in {train!r} too; the first is {shared[0]}")
    return audits


def _compare(about: SplitAudit, found: _Found, known: Known) -> None:
    """What there is, against what is listed and what is published."""
    about.layout, about.listed, about.num_classes = found.layout, len(found.rows), found.num_classes
    about.missing = [row for number, (row, _) in enumerate(found.rows) if not found.is_there(number)]
    gone = set(about.missing)
    counts = Counter(label for row, label in found.rows if row not in gone)
    about.classes = len(counts)
    if about.missing:
        about.problems.append(
            f"{len(about.missing)} of {about.listed} listed videos are not there; the first is {about.missing[0]}"
        )
    expected = known.num_classes or found.num_classes
    if found.num_classes < expected:
        about.problems.append(f"it names {found.num_classes} classes; {known.title} has {expected}")
    elif about.classes < expected and (known.num_classes or about.split.startswith("train")):
        empty = next(label for label in range(expected) if label not in counts)
        about.problems.append(f"{expected - about.classes} of {expected} classes have no video; the first is {empty}")
    published = known.videos.get(about.split, 0)
    if about.listed < published:
        about.problems.append(f"it lists {about.listed} videos; {known.title} has {published}")


def _read(about: SplitAudit, found: _Found, check: str, threads: int, on_video: Callable[[], None]) -> None:
    storing = Storing(check)

    def look(number: int) -> dict[str, str] | None:
        row, label = found.rows[number]
        try:
            storing.store(Row(found.fetch(number), label, row))
        except VideoError as error:
            return {"id": row, "reason": error.reason, "detail": error.detail}
        finally:
            on_video()
        return None

    there = [number for number in range(len(found.rows)) if found.is_there(number)]
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        about.unreadable = [failure for failure in pool.map(look, there) if failure]
    if about.unreadable:
        reasons = Counter(failure["reason"] for failure in about.unreadable)
        told = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        about.problems.append(f"{len(about.unreadable)} videos cannot be read: {told}")


def _find(name: str, root: str, split: str) -> _Found:
    for layout in _LAYOUTS:
        found = layout(KNOWN[name], root, split)
        if found:
            return found
    there = ", ".join(sorted(os.listdir(root))[:8]) or "nothing"
    raise DataError(f"nothing of it is under {root}, which has {there}; expected {KNOWN[name].layout}")


def _as_records(known: Known, root: str, split: str) -> _Found | None:
    folder = records.find(root)
    if folder is None:
        return None
    source = records.RecordSource(folder, split)
    labels = [0] * len(source)
    for label in range(source.num_classes):
        for row in source.rows_of_class(label):
            labels[row] = label
    rows = [(f"record {number}", label) for number, label in enumerate(labels)]
    return _Found("records", rows, source.num_classes, lambda number: True, lambda number: source[number].video)


def _as_published(known: Known, root: str, split: str) -> _Found | None:
    if not known.module:
        return None
    public = importlib.import_module(f"vidjax.data.datasets.{known.module}")
    if not public.annotations(root, split):
        return None
    listing = public.listing(root, split)
    return _files(_PUBLISHED, listing.paths(), len(listing.names))


def _as_list(known: Known, root: str, split: str) -> _Found | None:
    if not os.path.isfile(os.path.join(root, f"{split}.csv")):
        return None
    rows = files.listed(root, split)
    return _files("list", rows, max(known.num_classes, 1 + max(label for _, label in rows)))


def _as_class_folders(known: Known, root: str, split: str) -> _Found | None:
    if not os.path.isdir(os.path.join(root, split)):
        return None
    source = files.from_class_folders(root, split, "train", 0)
    rows = [(source[number].video, source[number].label) for number in range(len(source))]
    return _files("class folders", rows, source.num_classes)


_LAYOUTS = (_as_records, _as_published, _as_list, _as_class_folders)


def _files(layout: str, rows: list[tuple[str, int]], num_classes: int) -> _Found:
    def path(number: int) -> str:
        return rows[number][0]

    return _Found(layout, rows, num_classes, lambda number: os.path.isfile(path(number)), path)
