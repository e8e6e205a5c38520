"""Data sets that are video files on disk: class folders, or lists of `path label` lines."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32

from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.rows import Row, content_id
from vidjax.errors import DataError

_NOT_VIDEOS = (".txt", ".csv", ".json", ".jsonl", ".md", ".npy", ".part", ".tmp")


class FileSource(VideoSource):
    """Video files and their class numbers.

    A path that does not exist is kept: reading it raises a `VideoError` with the reason `missing`.
    """

    def __init__(
        self,
        root: str,
        split: str,
        paths: Sequence[str],
        labels: Sequence[int],
        names: tuple[str, ...] | None,
        num_classes: int,
    ):
        self.name, self.labels, self.num_classes = split, names or None, num_classes
        self._root = root
        self._paths = [os.path.relpath(path, root) for path in paths]
        self._labels = np.asarray(labels, np.int32)
        sizes = (_size(path) for path in paths)
        self.content_id = content_id([split, num_classes, *zip(self._paths, labels, sizes, strict=True)])

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Row:
        return Row(self.path(index), int(self._labels[index]), self._paths[index])

    def path(self, index: int) -> str:
        """Where the video of a row is."""
        return os.path.join(self._root, self._paths[index])

    def row_labels(self) -> Int32[np.ndarray, " rows"]:
        return self._labels


def from_class_folders(root: str, split: str, train_split: str, num_classes: int) -> FileSource:
    """Read root/<split>/<class>/*; classes are numbered in the alphabetical order of the training folders.

    Args:
      num_classes: at least as many as there are folders; 0 for just as many.

    Raises:
      DataError: for no class folders, one without videos, or one that the training split does not have.
    """
    folder = os.path.join(root, split)
    here, reference = _subfolders(folder), os.path.join(root, train_split)
    names = _subfolders(reference) if os.path.isdir(reference) else here
    if not here:
        raise DataError(f"{folder} has no class folders; videos go to {folder}/<class>/<video>")
    unknown = sorted(set(here) - set(names))
    if unknown:
        raise DataError(f"{os.path.join(folder, unknown[0])} is a class that {reference} does not have")
    if num_classes and num_classes < len(names):
        raise DataError(f"data.num_classes={num_classes}, but {reference} has {len(names)} class folders")
    paths, labels = [], []
    for name in here:
        videos = _videos(os.path.join(folder, name))
        if not videos:
            raise DataError(f"the class folder {os.path.join(folder, name)} has no videos; fill it or remove it")
        paths += videos
        labels += [names.index(name)] * len(videos)
    return FileSource(root, split, paths, labels, tuple(names), num_classes or len(names))


def from_list(root: str, split: str, train_split: str, num_classes: int) -> FileSource:
    """Read root/<split>.csv with lines `path label`, split at the last space; relative paths start at `root`.

    Class names come from root/labels.txt, one a line, if it exists. The number of classes is `num_classes`, or the
    number of names, or one more than the largest label in the training list.

    Raises:
      DataError: with the number of the line, for an unknown file or label.
    """
    names = class_names(root)
    if names and num_classes and num_classes < len(names):
        raise DataError(f"data.num_classes={num_classes}, but {os.path.join(root, 'labels.txt')} names {len(names)}")
    known = num_classes or len(names)
    if not known and split != train_split and os.path.isfile(os.path.join(root, f"{train_split}.csv")):
        known = 1 + max(label for _, _, label in _lines(os.path.join(root, f"{train_split}.csv")))
    paths, labels, list_path = [], [], os.path.join(root, f"{split}.csv")
    for number, path, label in _lines(list_path):
        full = os.path.join(root, path)
        if not os.path.isfile(full):
            raise DataError(f"{list_path}, line {number}: there is no file {full}")
        if known and label >= known:
            raise DataError(f"{list_path}, line {number}: label {label} is not one of the {known} classes")
        paths.append(full)
        labels.append(label)
    return FileSource(root, split, paths, labels, names, known or max(labels) + 1)


def listed(root: str, split: str) -> list[tuple[str, int]]:
    """Path and class number of every line of root/<split>.csv, whether the file is there or not."""
    return [(os.path.join(root, path), label) for _, path, label in _lines(os.path.join(root, f"{split}.csv"))]


def class_names(root: str) -> tuple[str, ...]:
    """The lines of root/labels.txt; nothing if there is none."""
    path = os.path.join(root, "labels.txt")
    if not os.path.isfile(path):
        return ()
    with open(path, encoding="utf-8") as lines:
        return tuple(line.strip() for line in lines if line.strip())


def _lines(list_path: str) -> list[tuple[int, str, int]]:
    """(line number, path, label) of every line that is not blank."""
    parsed = []
    with open(list_path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            path, _, label = line.strip().rpartition(" ")
            if not path.strip() or not label.isdecimal():
                raise DataError(
                    f"{list_path}, line {number}: {line.strip()!r} is not a path, a space and a class number from 0 up"
                )
            parsed.append((number, path.strip(), int(label)))
    if not parsed:
        raise DataError(f"{list_path} lists no videos; write one `path label` a line")
    return parsed


def _subfolders(folder: str) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _videos(folder: str) -> list[str]:
    """The files of a folder but hidden ones and obvious notes; an odd or damaged video is counted, not overlooked."""
    files = (entry for entry in os.scandir(folder) if entry.is_file() and not entry.name.startswith("."))
    return sorted(entry.path for entry in files if not entry.name.lower().endswith(_NOT_VIDEOS))


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return -1
