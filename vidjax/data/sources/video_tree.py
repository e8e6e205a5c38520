"""The files below a folder, found without a look at any of them but its size."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from vidjax.errors import DataError

EXTENSIONS = (
    ".mp4", ".webm", ".avi", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".3gp", ".3g2", ".ogv",
    ".mts", ".m2ts", ".mxf", ".asf", ".vob", ".y4m",
)  # fmt: skip
_OTHERS = (
    ".txt", ".csv", ".tsv", ".json", ".jsonl", ".md", ".npy", ".part", ".tmp", ".jpg", ".jpeg", ".png", ".webp", ".srt",
    ".vtt", ".wav", ".mp3", ".xml", ".html", ".pdf", ".zip", ".ini", ".db",
)  # fmt: skip


class VideoFile(NamedTuple):
    """A file: its name relative to the root, with forward slashes, and its bytes; -1 where a link leads nowhere."""

    name: str
    size: int


def is_video_name(name: str) -> bool:
    """Whether a name has the extension of a video."""
    return name.lower().endswith(EXTENSIONS)


def may_be_video(name: str) -> bool:
    """Whether a file may be meant as a video, whatever it is called; obvious notes and pictures are not."""
    return not name.lower().endswith(_OTHERS)


def find_videos(root: str, below: str = "", accept: Callable[[str], bool] = is_video_name) -> list[VideoFile]:
    """Every video in a folder and the folders below it, sorted by name.

    Hidden files and folders are passed over. Links are followed, but not back to a folder that they lie in.

    Args:
      below: a folder of `root` to begin at, relative to it; names stay relative to `root`.
      accept: whether a file of this name counts.

    Raises:
      DataError: when a folder cannot be read.
    """
    found: list[VideoFile] = []
    folders = [f"{below}/" if below else ""]
    while folders:
        folder = folders.pop()
        for entry in _entries(os.path.join(root, folder)):
            if entry.is_dir():
                if not (entry.is_symlink() and _leads_back(entry.path)):
                    folders.append(f"{folder}{entry.name}/")
            elif accept(entry.name):
                found.append(VideoFile(folder + entry.name, size_of(entry)))
    return sorted(found)


def subfolders(folder: str) -> list[str]:
    """The names of the folders in a folder, sorted, without hidden ones."""
    return sorted(entry.name for entry in _entries(folder) if entry.is_dir())


def size_of(file: str | os.DirEntry) -> int:
    """The bytes of a file; -1 when it is not there."""
    try:
        return (file.stat() if isinstance(file, os.DirEntry) else os.stat(file)).st_size
    except OSError:
        return -1


def _entries(folder: str) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be read: {error.strerror}") from error


def _leads_back(link: str) -> bool:
    target, place = os.path.realpath(link), os.path.realpath(os.path.dirname(link))
    return f"{place}/".startswith(f"{target}/")
