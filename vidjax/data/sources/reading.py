"""Describe, for the user and for the run's files, how videos were read and divided."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from vidjax.config import DataConfig
from vidjax.data.sources.own_videos import CLASS_FOLDERS, OwnVideos

_SHOWN = 5  # empty folders shown by name
_NAMED = 10**5  # up to this many videos, a run keeps the names in each split


@dataclass(frozen=True)
class Reading:
    """How videos were read.

    Attributes:
      sentence: for the screen.
      record: for a file of the run: the sentence, the layout, the columns, the classes with their numbers, the empty
        folders, and the names in each split unless there are too many.
    """

    sentence: str
    record: dict[str, Any]


def describe(own: OwnVideos, data: DataConfig) -> Reading:
    """Describe what was found, and how it was divided into training and evaluation."""
    splits = {name: own.splits[name] for name in (data.train_split, data.eval_split) if name in own.splits}
    sizes = {name: len(videos) for name, videos in splits.items()}
    place, total = own.places[next(iter(sizes))], sum(sizes.values())
    what = f"{_videos(total)} {_classes(own)}{_columns(own)}"
    if own.hashed:
        division = f"{sizes[data.train_split]} to train, {sizes[data.eval_split]} to validate, {_rule(data)}"
    else:
        division = ", ".join(f"{size} in {os.path.relpath(own.places[name], own.root)}" for name, size in sizes.items())
        place = own.root if len(set(own.places.values())) > 1 else place
    sentence = f"{place}: {what}; {division}{_empty(own)}"
    record = {
        "sentence": sentence,
        "root": own.root,
        "layout": own.layout,
        "read_from": {name: own.places[name] for name in splits},
        "columns": own.columns,
        "classes": {name: number for number, name in enumerate(own.names)},
        "empty_folders": list(own.empty),
        "divided": _rule(data) if own.hashed else "",
        "splits": {name: list(videos.names) for name, videos in splits.items()} if total <= _NAMED else {},
    }
    return Reading(sentence, record)


def _videos(count: int) -> str:
    return f"{count} video{'s' * (count != 1)}"


def _classes(own: OwnVideos) -> str:
    if own.unlabelled:
        return "without classes"
    found = own.labels()
    if own.layout == CLASS_FOLDERS:
        return f"in {len(found)} class folder{'s' * (len(found) != 1)}"
    return f"of {len(found)} class{'es' * (len(found) != 1)}"


def _empty(own: OwnVideos) -> str:
    """Name the folders that look like classes but hold no videos."""
    if not own.empty:
        return ""
    shown = ", ".join(own.empty[:_SHOWN]) + (f" and {len(own.empty) - _SHOWN} more" if len(own.empty) > _SHOWN else "")
    one = len(own.empty) == 1
    return f"; {'a folder holds no videos and is' if one else 'folders hold no videos and are'} ignored: {shown}"


def _columns(own: OwnVideos) -> str:
    """Name the column of a list that holds each item."""
    if not own.columns:
        return ""
    return f" ({', '.join(f'{what} in column {name!r}' for what, name in own.columns.items())})"


def _rule(data: DataConfig) -> str:
    what = "folder" if data.split_by == "folder" else "name"
    return f"by a hash of each {what} (data.val_fraction={data.val_fraction:g})"
