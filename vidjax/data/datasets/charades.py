"""Charades (Sigurdsson et al. 2016): 9,848 home videos of about 30 s, 157 overlapping actions, and descriptions.

On disk, as distributed (the annotations may also lie in `root` itself):

    root/Charades/{Charades_v1_train.csv,Charades_v1_test.csv,Charades_v1_classes.txt}
    root/Charades_v1_480/<id>.mp4          (or any other folder under root)

Splits are `train` and `val` (or `test`), the official test list. A third of the intervals run past the end of their
video by the annotated length; as in the official scores they count where they lie inside, and the log says how many.
"""

from __future__ import annotations

import csv
import os
import re

from vidjax.config import DataConfig
from vidjax.data.datasets.annotated import Listing, first_existing, locate, videos_by_stem
from vidjax.data.facts import report_intervals, report_unseen, with_captions
from vidjax.data.rows import Interval, Row
from vidjax.data.table import TableSource
from vidjax.errors import DataError

TITLE, NUM_CLASSES = "Charades", 157
LAYOUT = "Charades/Charades_v1_{train,test}.csv, Charades_v1_classes.txt, and Charades_v1_480/<id>.mp4"
VIDEOS = {"train": 7_985, "val": 1_863, "test": 1_863}
FACTS = ("intervals", "captions")
PROTOCOL = {  # SlowFast's configs/Charades: 10 windows x 3 crops, the largest probability
    "data": {"num_frames": 16, "stride": 4, "sampling": "dense", "flip": 0.5},
    "eval": {"clips": 10, "crops": 3, "window_merge": "max"},
}
_FILES = {"train": "Charades_v1_train.csv", "val": "Charades_v1_test.csv", "test": "Charades_v1_test.csv"}
_COLUMNS = ("id", "actions", "length")


def annotations(root: str, split: str) -> str | None:
    """The official list of the split, if `root` has one."""
    return _file(root, _FILES[split]) if split in _FILES else None


def open_split(root: str, split: str, data: DataConfig, fact: str) -> TableSource:
    """A split of the official layout with its intervals, or with its descriptions.

    Raises:
      DataError: if the annotations are absent or malformed, an action is unknown, or no video is there.
    """
    del data
    path, classes = annotations(root, split), _file(root, "Charades_v1_classes.txt")
    if path is None or classes is None:
        raise DataError(
            f"{TITLE}: no Charades_v1_classes.txt and list of split {split!r} under {root}/Charades; "
            f"splits are {', '.join(_FILES)}"
        )
    names = _names(classes)
    listed = [_row(line, number, path, len(names)) for number, line in enumerate(_lines(path), 2)]
    if fact == "captions":
        listed = with_captions(TITLE, listed)
    order = [(row.id, place) for place, row in enumerate(listed)]
    paths, kept = locate(TITLE, order, videos_by_stem([root]), folder=root, split=split, extension=".mp4")
    rows = [
        Row(file, 0, row.id, intervals=row.intervals, captions=row.captions, duration=row.duration)
        for file, row in zip(paths, (listed[place] for place in kept), strict=True)
    ]
    report_intervals(TITLE, rows)
    if split == "train" and fact == "intervals":
        report_unseen(TITLE, rows, names)
    return TableSource(f"charades/{split}", rows, fact=fact, labels=names)


def listing(root: str, split: str) -> Listing:
    """The videos that the list of a split has, there or not; without classes, of which each has several.

    Raises:
      DataError: if the list is malformed.
    """
    rows = [(line["id"], 0) for line in _lines(annotations(root, split))]
    return Listing(TITLE, split, rows, (), videos_by_stem([root]), root, ".mp4")


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
    """Charades_v1_classes.txt (`c000 Holding some clothes`), checked to number its classes without gaps."""
    with open(path, encoding="utf-8") as file:
        lines = [line.strip().partition(" ") for line in file if line.strip()]
    if [code for code, _, _ in lines] != [f"c{number:03d}" for number in range(len(lines))]:
        raise DataError(f"{path} does not list classes as c000 <name>, c001 <name>, ... in order")
    return tuple(name for _, _, name in lines)


def _row(line: dict[str, str], number: int, path: str, num_classes: int) -> Row:
    where = f"{os.path.basename(path)}, line {number} ({line['id']})"
    try:
        length = float(line["length"])
    except ValueError as error:
        raise DataError(f"{where}: length {line['length']!r} is not a number of seconds") from error
    parts = [part for part in (line["actions"] or "").split(";") if part.strip()]
    captions = tuple(text.strip() for text in re.split(r";", line.get("descriptions") or "") if text.strip())
    actions = tuple(_interval(part, where, num_classes) for part in parts)
    return Row(None, 0, line["id"], intervals=actions, captions=captions, duration=length)


def _interval(text: str, where: str, num_classes: int) -> Interval:
    match = re.fullmatch(r"\s*c(\d+) (\S+) (\S+)\s*", text)
    try:
        start, end, action = float(match[2]), float(match[3]), int(match[1])
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: {text!r} is not an action such as `c092 11.90 21.20`") from error
    if action >= num_classes:
        raise DataError(f"{where}: class c{action:03d} is not one of the {num_classes} classes")
    return start, end, action
