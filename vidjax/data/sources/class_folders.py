"""Videos in class folders: root/<split>/<class>/*."""

from __future__ import annotations

import os

from vidjax.data.sources.video_files import FileSource
from vidjax.errors import DataError

_NOT_VIDEOS = (".txt", ".csv", ".json", ".jsonl", ".md", ".npy", ".part", ".tmp")


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


def _subfolders(folder: str) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _videos(folder: str) -> list[str]:
    """The files of a folder but hidden ones and obvious notes; an odd or damaged video is counted, not overlooked."""
    files = (entry for entry in os.scandir(folder) if entry.is_file() and not entry.name.startswith("."))
    return sorted(entry.path for entry in files if not entry.name.lower().endswith(_NOT_VIDEOS))
