"""Lists of videos: root/<split>.csv with lines `path label`, and the class names of root/labels.txt."""

from __future__ import annotations

import os

from vidjax.data.sources.video_files import FileSource
from vidjax.errors import DataError


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
