"""Find the files below a folder by name, without opening any."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from vidjax.errors import DataError

LOOKED_AT = 64  # files per split that are checked before a run
EXTENSIONS = (
    ".mp4", ".webm", ".avi", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".3gp", ".3g2", ".ogv",
    ".mts", ".m2ts", ".mxf", ".asf", ".vob", ".y4m",
)  # fmt: skip
_OTHERS = (
    ".txt", ".csv", ".tsv", ".json", ".jsonl", ".md", ".npy", ".part", ".tmp", ".jpg", ".jpeg", ".png", ".webp", ".srt",
    ".vtt", ".wav", ".mp3", ".xml", ".html", ".pdf", ".zip", ".ini", ".db",
)  # fmt: skip


def is_video_name(name: str) -> bool:
    """Whether a name has the extension of a video."""
    return name.lower().endswith(EXTENSIONS)


def may_be_video(name: str) -> bool:
    """Whether a file may be a video with an unusual extension; text files, images and the like are not."""
    return not name.lower().endswith(_OTHERS)


def find_videos(root: str, below: str = "", accept: Callable[[str], bool] = is_video_name) -> Iterator[str]:
    """Yield the names of all videos in a folder and below it, sorted, relative to the folder, with forward slashes.

    Hidden files and folders are skipped. Links are followed, but not back to a folder that contains them.

    Args:
      below: a folder of `root` to start at, relative to it; names stay relative to `root`.
      accept: whether a file with this name counts.

    Raises:
      DataError: when a folder cannot be read.
    """
    folder = f"{below}/" if below else ""
    found: list[str] = []
    for entry in _entries(os.path.join(root, folder)):
        if not entry.is_dir():
            if accept(entry.name):
                found.append(entry.name)
        elif not (entry.is_symlink() and _leads_back(entry.path)):
            found.append(f"{entry.name}/")  # sorted with its slash, like the names of the files below it
    for name in sorted(found):
        if name.endswith("/"):
            yield from find_videos(root, folder + name[:-1], accept)
        else:
            yield folder + name


def subfolders(folder: str) -> list[str]:
    """The names of the folders in a folder, sorted, without hidden ones."""
    return sorted(entry.name for entry in _entries(folder) if entry.is_dir())


def listed(paths: Iterable[str]) -> set[str]:
    """The paths that exist, found by listing their folders; no file is accessed."""
    names: dict[str, set[str]] = {}
    for path in (paths := list(paths)):
        if (folder := os.path.dirname(path)) not in names:
            names[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
    return {path for path in paths if os.path.basename(path) in names[os.path.dirname(path)]}


def spread(count: int) -> list[int]:
    """Up to 64 evenly spread rows, whose files represent all `count` in checks before a run."""
    return sorted({at * count // LOOKED_AT for at in range(LOOKED_AT)}) if count else []


def size_of(path: str) -> int:
    """The size of a file in bytes; -1 if it does not exist."""
    try:
        return os.stat(path).st_size
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
