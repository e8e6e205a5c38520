"""Jester (Materzynska et al. 2019): 27 hand gestures in front of a camera, as folders of frames.

On disk, as distributed and unpacked (the lists may also be in root/annotations or root/labels):

    root/jester-v1-labels.csv                  one class per line
    root/jester-v1-{train,validation}.csv      lines `<id>;<class>`
    root/20bn-jester-v1/<id>/<frame:05d>.jpg   12 frames per second

Splits are train and val. Labels are the line numbers of the classes, from 0. The labels of the test split are not
published. Gestures distinguish left from right, so the protocol below has no mirrored clips.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator

from vidjax.config import DataConfig
from vidjax.data.datasets import DatasetSpec
from vidjax.data.sources import inventory as inventories
from vidjax.data.sources import records
from vidjax.data.sources.annotations import LABEL
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.in_memory import InMemorySource
from vidjax.data.sources.inventory import Inventory, Listed
from vidjax.data.sources.official_lists import first_existing, locate
from vidjax.data.sources.root_layouts import open_records, warn_of_unseen_classes
from vidjax.data.sources.rows import Row
from vidjax.data.video.readers import FrameWindow
from vidjax.errors import DataError

TITLE = "Jester"
FPS = 12.0
_FILES = {"train": "jester-v1-train.csv", "val": "jester-v1-validation.csv"}
_FOLDERS = ("", "annotations/", "labels/")


def find_annotations(root: str, split: str) -> str | None:
    """Return the official list of the split, if `root` has one."""
    return _file(root, _FILES[split]) if split in _FILES else None


def open_split(root: str, split: str, data: DataConfig, annotation: str) -> VideoSource:
    """Open the gestures of a split, from the official layout or from records.

    Raises:
      DataError: if the annotations are absent or malformed, or none of the listed folders exists.
    """
    if records.find(root):
        return open_records(root, split, data, annotation)
    names, clips = _read(root, split)
    windows = {name: window for name, _, window in clips}
    there = {name: window.folder for name, window in windows.items() if window.names}
    where = {"folder": _frames_folder(root), "split": split, "extension": ""}
    folders, labels = locate(TITLE, [(name, label) for name, label, _ in clips], there, **where)
    kept = [(os.path.basename(folder), label) for folder, label in zip(folders, labels, strict=True)]
    rows = [Row(_expected(windows[name]), label, name) for name, label in kept]
    source = InMemorySource(f"jester/{split}", rows, labels=names)
    if annotation == LABEL:
        warn_of_unseen_classes(source, split, data)
    return source


def inventory(root: str, split: str) -> Inventory:
    """List the gestures of a split, including those whose folder is missing or empty.

    Raises:
      DataError: as `open_split`.
    """
    if folder := records.find(root):
        return inventories.of_records(folder, split)
    names, clips = _read(root, split)
    return Inventory([Listed(name, window, (label,)) for name, label, window in clips], names)


DATASET = DatasetSpec(
    title=TITLE,
    layout="jester-v1-{labels,train,validation}.csv and 20bn-jester-v1/<id>/<frame>.jpg",
    num_classes=27,
    videos={"train": 118_562, "val": 14_787},
    protocol={  # V-JEPA 2's probes, configs/eval/vitl/jester.yaml
        "data": {"num_frames": 32, "stride": 2, "sampling": "dense_span", "flip": 0.0},
        "eval": {"clips": 4, "crops": 3, "merge": "mean_softmax"},
    },
    find_annotations=find_annotations,
    open_split=open_split,
    inventory=inventory,
)


def _read(root: str, split: str) -> tuple[tuple[str, ...], list[tuple[str, int, FrameWindow]]]:
    """The class names, and the id, label and frames of each listed gesture; a missing gesture has no frame names."""
    path, classes = find_annotations(root, split), _file(root, "jester-v1-labels.csv")
    if path is None or classes is None:
        raise DataError(
            f"{TITLE}: no jester-v1-labels.csv or no {_FILES.get(split, f'list of split {split!r}')} under {root} or "
            f"{root}/{{annotations,labels}}; splits are train and val"
        )
    names = tuple(line for _, line in _lines(classes))
    numbers = {name: label for label, name in enumerate(names)}
    folder, shared, clips = _frames_folder(root), {}, []
    for number, line in _lines(path):
        name, _, label = line.partition(";")
        if label not in numbers:
            raise DataError(f"{path}, line {number}: {line!r} is not `<id>;<class>` with a class from {classes}")
        frames = _frames(os.path.join(folder, name))
        frames = shared.setdefault(frames, frames)  # gestures of the same length share one tuple of names
        clips.append((name, numbers[label], FrameWindow(os.path.join(folder, name), frames, 0, len(frames), FPS)))
    return names, clips


def _expected(window: FrameWindow) -> FrameWindow:
    """Give a missing gesture the name of its first frame, so that reading it reports which file is missing."""
    return window if window.names else dataclasses.replace(window, names=("00001.jpg",), count=1)


def _frames(folder: str) -> tuple[str, ...]:
    """The names of a folder's images, in order."""
    there = os.listdir(folder) if os.path.isdir(folder) else ()
    return tuple(sorted(name for name in there if name.endswith(".jpg")))


def _frames_folder(root: str) -> str:
    return first_existing(root, "20bn-jester-v1") or root


def _file(root: str, name: str) -> str | None:
    return first_existing(root, *(f"{folder}{name}" for folder in _FOLDERS))


def _lines(path: str) -> Iterator[tuple[int, str]]:
    """The lines of a file that are not empty, with their numbers."""
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line.strip()
