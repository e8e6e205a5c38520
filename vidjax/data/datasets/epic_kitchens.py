"""EPIC-KITCHENS-100 (Damen et al. 2022): 100 hours in 45 kitchens; each segment shows an action (a verb and a noun).

On disk, the distributed videos and annotations (github.com/epic-kitchens/epic-kitchens-100-annotations):

    root/[epic-kitchens-100-annotations/]EPIC_100_{train,validation}.csv, EPIC_100_{noun,verb}_classes.csv
    root/[EPIC-KITCHENS/]P01/videos/P01_01.MP4             (or any other folder under root)

Splits are `train` and `val`. A row is a segment of a video, with the times in the lists.
"""

from __future__ import annotations

import csv
import os
import re
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
from vidjax.data.sources.annotations import ACTION
from vidjax.data.sources.in_memory import InMemorySource
from vidjax.data.sources.inventory import Inventory, Listed
from vidjax.data.sources.official_lists import Listing, first_existing, videos_by_stem
from vidjax.data.sources.rows import Row
from vidjax.errors import DataError

TITLE = "EPIC-KITCHENS-100"
NOUNS, VERBS = 300, 97
_FILES = {"train": "EPIC_100_train.csv", "val": "EPIC_100_validation.csv"}
_NAMES = {"noun": ("EPIC_100_noun_classes.csv", "EPIC_100_noun_classes_v2.csv"), "verb": ("EPIC_100_verb_classes.csv",)}
_COLUMNS = ("narration_id", "video_id", "start_timestamp", "stop_timestamp", "verb_class", "noun_class")
_FOLDERS = ("epic-kitchens-100-annotations", "annotations")


def find_annotations(root: str, split: str) -> str | None:
    """The official list of the split, if `root` has one."""
    return _file(root, _FILES[split]) if split in _FILES else None


def open_split(root: str, split: str, data: DataConfig, annotation: str) -> InMemorySource:
    """Open the segments of a split, from the official layout or from records.

    Raises:
      DataError: if the annotations are absent or malformed, or no video exists.
    """
    del data, annotation
    whole = open_videos(root, split)
    rows = [
        Row(video.video, 0, name, action=(noun, verb), window=(start, stop))
        for video in whole.videos
        for name, start, stop, noun, verb in video.about["segments"]
    ]
    return InMemorySource(whole.name, rows, annotation=ACTION, labels=whole.labels)


def open_videos(root: str, split: str) -> AnnotatedVideos:
    """Open the whole videos of a split with their segments; `official_lists.locate` handles missing files.

    Raises:
      DataError: as `open_split`.
    """
    return locate_videos(_listed(root, split), TITLE, root, split, ".MP4")


def inventory(root: str, split: str) -> Inventory:
    """List every video, including missing ones, with the nouns and verbs of its segments.

    Raises:
      DataError: if the annotations are absent or malformed.
    """
    whole = _listed(root, split)
    videos = [Listed(video.id, video.video, _numbers(video.about)) for video in whole.videos]
    return Inventory(videos, whole.labels or (), "segments")


DATASET = DatasetSpec(
    title=TITLE,
    layout="EPIC_100_{train,validation}.csv, EPIC_100_{noun,verb}_classes.csv, and <person>/videos/<video>.MP4",
    annotations=(ACTION,),
    num_classes=NOUNS + VERBS,
    protocol={  # ViViT's: 32 consecutive frames, 4 x 3 views
        "data": {"num_frames": 32, "stride": 1, "sampling": "dense_loop", "flip": 0.5},
        "eval": {"clips": 4, "crops": 3, "merge": "sum_logits"},
    },
    find_annotations=find_annotations,
    open_split=open_split,
    open_videos=open_videos,
    inventory=inventory,
)


def _file(root: str, *names: str) -> str | None:
    return first_existing(root, *(f"{folder}/{name}" for name in names for folder in _FOLDERS), *names)


def _listed(root: str, split: str) -> AnnotatedVideos:
    folder = records.find(root)
    if folder:
        return read_annotated_videos(folder, split, "epic_kitchens")
    path, nouns, verbs = (find_annotations(root, split), *(_file(root, *_NAMES[kind]) for kind in ("noun", "verb")))
    if path is None or nouns is None or verbs is None:
        raise DataError(
            f"{TITLE}: no {_FILES.get(split, _FILES['train'])}, EPIC_100_noun_classes.csv or "
            f"EPIC_100_verb_classes.csv under {root}; splits are {', '.join(_FILES)}"
        )
    noun_names, verb_names = _names(nouns), _names(verbs)
    segments: dict[str, list[tuple[Any, ...]]] = {}
    for number, line in enumerate(_lines(path, _COLUMNS), 2):
        where = f"{os.path.basename(path)}, line {number} ({line['narration_id']})"
        start, stop = (_seconds(line[column], where) for column in ("start_timestamp", "stop_timestamp"))
        if stop <= start:
            raise DataError(f"{where}: the segment from {start:g} s to {stop:g} s ends before it starts")
        noun = _number(line["noun_class"], len(noun_names), f"{where}: noun")
        verb = _number(line["verb_class"], len(verb_names), f"{where}: verb")
        segments.setdefault(line["video_id"], []).append((line["narration_id"], start, stop, noun, verb))
    names = (*noun_names, *verb_names)
    order = [(video, place) for place, video in enumerate(segments)]
    listing = Listing(TITLE, split, order, names, videos_by_stem([root]), root, ".MP4")
    videos = [
        AnnotatedVideo(name, found, {"nouns": len(noun_names), "segments": segments[name]})
        for (name, _), (found, _) in zip(order, listing.paths(), strict=True)
    ]
    return AnnotatedVideos(f"epic_kitchens/{split}", videos, names)


def _numbers(about: dict[str, Any]) -> tuple[int, ...]:
    """The classes of all segments of a video; verbs are numbered after the nouns."""
    return tuple(number for *_, noun, verb in about["segments"] for number in (noun, about["nouns"] + verb))


def _lines(path: str, columns: tuple[str, ...]) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            raise DataError(f"{path} has no column {', '.join(missing)}; it should be the official list of {TITLE}")
        return list(reader)


def _names(path: str) -> tuple[str, ...]:
    """Read the classes of a file with the columns `id,key,...`, which must be numbered without gaps."""
    lines = _lines(path, ("id", "key"))
    if [line["id"] for line in lines] != list(map(str, range(len(lines)))):
        raise DataError(f"{path} does not number its classes 0, 1, ... in order")
    return tuple(line["key"] for line in lines)


def _seconds(text: str, where: str) -> float:
    """Convert a time such as `00:01:02.34` to seconds."""
    found = re.fullmatch(r"(\d+):([0-5]?\d):([0-5]?\d(?:\.\d+)?)", text)
    if not found:
        raise DataError(f"{where}: {text!r} is not a time such as 00:01:02.34")
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])


def _number(text: str, count: int, where: str) -> int:
    if not text.isdecimal() or int(text) >= count:
        raise DataError(f"{where} class {text!r} is not one of the {count} classes, numbered from 0")
    return int(text)
