"""Charades (Sigurdsson et al. 2016): 9,848 home videos of about 30 s, 157 overlapping actions, and descriptions.

On disk, as distributed (the annotations may also be in `root` itself):

    root/Charades/{Charades_v1_train.csv,Charades_v1_test.csv,Charades_v1_classes.txt}
    root/Charades_v1_480/<id>.mp4          (or any other folder under root)

Splits are `train`, `val` and `test`; the last two are both the official test list. A third of the intervals run past
the annotated end of their video. As in the official scores, such an interval counts for its video as a whole and for
the moments of the video that it covers; the log reports how many there are.
"""

from __future__ import annotations

import csv
import math
import os
import re
from collections import Counter
from typing import Any

from vidjax.config import DataConfig
from vidjax.data.datasets import DatasetSpec
from vidjax.data.sources import records
from vidjax.data.sources.annotated_videos import (
    AnnotatedVideo,
    AnnotatedVideos,
    locate_videos,
    read_annotated_videos,
)
from vidjax.data.sources.annotation_checks import (
    caption_warnings,
    interval_warnings,
    unseen_class_warnings,
    warn,
    with_captions,
)
from vidjax.data.sources.annotations import CAPTIONS, INTERVALS
from vidjax.data.sources.in_memory import InMemorySource
from vidjax.data.sources.inventory import Inventory, Listed
from vidjax.data.sources.official_lists import Listing, first_existing, videos_by_stem
from vidjax.data.sources.rows import Interval, Row
from vidjax.errors import DataError

TITLE = "Charades"
_FILES = {"train": "Charades_v1_train.csv", "val": "Charades_v1_test.csv", "test": "Charades_v1_test.csv"}
_COLUMNS = ("id", "actions", "length")


def find_annotations(root: str, split: str) -> str | None:
    """The official list of the split, if `root` has one."""
    return _file(root, _FILES[split]) if split in _FILES else None


def open_split(root: str, split: str, data: DataConfig, annotation: str) -> InMemorySource:
    """Open a split of the official layout or of records, with its intervals or its descriptions.

    Raises:
      DataError: if the annotations are absent or malformed, an action is unknown, or no video exists.
    """
    del data
    whole = open_videos(root, split)
    rows = [_row(video) for video in whole.videos]
    if annotation == CAPTIONS:
        warn(caption_warnings(TITLE, rows))
        rows = with_captions(rows)
    else:
        warn(interval_warnings(TITLE, rows))
    if split == "train" and annotation == INTERVALS:
        warn(unseen_class_warnings(TITLE, _counts(rows, whole.labels or ())))
    return InMemorySource(whole.name, rows, annotation=annotation, labels=whole.labels)


def open_videos(root: str, split: str) -> AnnotatedVideos:
    """Open the videos of a split with all annotations; `official_lists.locate` handles missing files.

    Raises:
      DataError: as `open_split`.
    """
    return locate_videos(_listed(root, split), TITLE, root, split, ".mp4")


def inventory(root: str, split: str) -> Inventory:
    """List every video, including missing ones, with the classes of its intervals.

    Raises:
      DataError: if the annotations are absent or malformed.
    """
    whole = _listed(root, split)
    rows = [_row(video) for video in whole.videos]
    numbers = [tuple(number for _, _, number in row.intervals) for row in rows]
    videos = [Listed(video.id, video.video, seen) for video, seen in zip(whole.videos, numbers, strict=True)]
    notes = [*interval_warnings(TITLE, rows), *caption_warnings(TITLE, rows)]
    return Inventory(videos, whole.labels or (), "intervals", notes=notes)


DATASET = DatasetSpec(
    title=TITLE,
    layout="Charades/Charades_v1_{train,test}.csv, Charades_v1_classes.txt, and Charades_v1_480/<id>.mp4",
    annotations=(INTERVALS, CAPTIONS),
    num_classes=157,
    videos={"train": 7_985, "val": 1_863, "test": 1_863},
    protocol={  # SlowFast's configs/Charades: 10 windows x 3 crops, the largest probability
        "data": {"num_frames": 16, "stride": 4, "sampling": "dense", "flip": 0.5},
        "eval": {"clips": 10, "crops": 3, "window_merge": "max"},
    },
    find_annotations=find_annotations,
    open_split=open_split,
    open_videos=open_videos,
    inventory=inventory,
)


def _listed(root: str, split: str) -> AnnotatedVideos:
    folder = records.find(root)
    if folder:
        return read_annotated_videos(folder, split, "charades")
    path, classes = find_annotations(root, split), _file(root, "Charades_v1_classes.txt")
    if path is None or classes is None:
        raise DataError(
            f"{TITLE}: no Charades_v1_classes.txt or no list of split {split!r} under {root}/Charades; "
            f"splits are {', '.join(_FILES)}"
        )
    names = _names(classes)
    abouts = [(line["id"], _about(line, number, path, len(names))) for number, line in enumerate(_lines(path), 2)]
    order = [(name, place) for place, (name, _) in enumerate(abouts)]
    listing = Listing(TITLE, split, order, names, videos_by_stem([root]), root, ".mp4")
    videos = [AnnotatedVideo(abouts[place][0], video, abouts[place][1]) for video, place in listing.paths()]
    return AnnotatedVideos(f"charades/{split}", videos, names)


def _row(video: AnnotatedVideo) -> Row:
    about = video.about
    intervals = tuple((start, end, number) for start, end, number in about["intervals"])
    captions, seconds = tuple(about["captions"]), about["duration"]
    return Row(video.video, 0, video.id, intervals=intervals, captions=captions, duration=seconds)


def _counts(rows: list[Row], names: tuple[str, ...]) -> dict[str, int]:
    seen = Counter(number for row in rows for _, _, number in row.intervals)
    return {name: seen[number] for number, name in enumerate(names)}


def _file(root: str, name: str) -> str | None:
    return first_existing(root, f"Charades/{name}", name, f"annotations/{name}")


def _lines(path: str) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise DataError(f"{path} has no column {', '.join(missing)}; it should be the official list of {TITLE}")
        return list(reader)


def _names(path: str) -> tuple[str, ...]:
    """Read Charades_v1_classes.txt (`c000 Holding some clothes`), which must number its classes without gaps."""
    with open(path, encoding="utf-8") as file:
        lines = [line.strip().partition(" ") for line in file if line.strip()]
    if [code for code, _, _ in lines] != [f"c{number:03d}" for number in range(len(lines))]:
        raise DataError(f"{path} does not list classes as c000 <name>, c001 <name>, ... in order")
    return tuple(name for _, _, name in lines)


def _about(line: dict[str, str], number: int, path: str, num_classes: int) -> dict[str, Any]:
    """The annotations in a line, as records keep them; empty descriptions are kept so that they can be counted."""
    where = f"{os.path.basename(path)}, line {number} ({line['id']})"
    try:
        length = float(line["length"])
    except ValueError as error:
        raise DataError(f"{where}: length {line['length']!r} is not a number of seconds") from error
    if not 0 < length < math.inf:
        raise DataError(f"{where}: length {line['length']!r} is not a number of seconds above 0")
    parts = [part for part in (line["actions"] or "").split(";") if part.strip()]
    captions = [text.strip() for text in (line.get("descriptions") or "").split(";")]
    actions = [_interval(part, where, num_classes) for part in parts]
    return {"intervals": actions, "captions": captions if any(captions) else [], "duration": length}


def _interval(text: str, where: str, num_classes: int) -> Interval:
    try:
        [(number, first, last)] = re.findall(r"\A\s*c(\d+) (\S+) (\S+)\s*\Z", text)
        start, end, action = float(first), float(last), int(number)
    except ValueError as error:
        raise DataError(f"{where}: {text!r} is not an action such as `c092 11.90 21.20`") from error
    if not (math.isfinite(start) and math.isfinite(end)):
        raise DataError(f"{where}: {text!r} has a time that is not a number of seconds")
    if action >= num_classes:
        raise DataError(f"{where}: class c{action:03d} is not one of the {num_classes} classes")
    return start, end, action
