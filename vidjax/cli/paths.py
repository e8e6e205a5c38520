"""Resolve and check the files and folders of a command line before anything is computed."""

from __future__ import annotations

import glob
import os
import pathlib
import tempfile
from collections.abc import Iterable, Sequence

from vidjax.errors import ConfigError, DataError, nearest_path, one_line
from vidjax.files import in_bucket

VIDEOS_HELP = "video files, folders of them, patterns such as 'clips/*.mp4', or lists of videos (.txt, .csv, .jsonl)"


def find_videos(words: list[str]) -> list[str]:
    """Return the videos that the words of a command line name.

    A word is a video file; a folder, for all videos in it and its subfolders; a pattern such as `clips/*.mp4` that the
    shell did not expand; or a list of videos, see `vidjax.data.sources.video_lists`. Missing videos stay in the result
    and are reported when they are opened.

    Raises:
      DataError: when none of the videos exists, a folder or a pattern has none, or a list cannot be read.
    """
    found = [video for word in words for video in _videos_of(word)]
    if not any(os.path.exists(video) for video in found):
        if "://" in found[0]:
            raise DataError(f"{found[0]} is an address; download the video, or follow a stream with `vidjax watch`")
        near = nearest_path(found[0])
        raise DataError(f"{found[0]} cannot be found; {f'did you mean {near}?' if near else f'name {VIDEOS_HELP}'}")
    return found


def _videos_of(word: str) -> list[str]:
    if os.path.isdir(word):
        return _in_folder(word)
    if not os.path.exists(word) and glob.has_magic(word):
        matches = sorted(glob.glob(word, recursive=True))
        if not matches:
            raise DataError(f"nothing matches the pattern {word}; name {VIDEOS_HELP}")
        return [video for match in matches for video in _videos_of(match)]
    return _in_list(word) if is_list(word) else [word]


def is_list(path: str) -> bool:
    """Whether a path is an existing list of videos."""
    from vidjax.data.sources.tables import SUFFIXES

    return os.path.isfile(path) and path.lower().endswith(SUFFIXES)


def means_videos(word: str) -> bool:
    """Whether a word is an existing file or a pattern."""
    return os.path.isfile(word) or glob.has_magic(word)


def _in_folder(folder: str) -> list[str]:
    from vidjax.data.sources import video_tree

    found = [os.path.join(folder, video) for video in video_tree.find_videos(folder)]
    if not found:
        raise DataError(f"{folder} holds no videos, nor do the folders below it; name {VIDEOS_HELP}")
    return found


def _in_list(path: str) -> list[str]:
    from vidjax.data.sources.video_lists import read_list

    names = read_list(path, os.curdir).videos.names
    return [os.path.abspath(name) if name.startswith(os.pardir) else name for name in names]


def shown(path: str) -> str:
    """Return a path on one line: relative if it lies below the working directory, else as it is."""
    here = os.path.join(os.getcwd(), "")
    return one_line(path.removeprefix(here) if path.startswith(here) else path)


def names_of(videos: Iterable[str]) -> dict[str, str]:
    """Return a name for each video's output files: its base name without suffix.

    If any two of these are equal, every name is the video's path below the folder that all videos share.
    """
    videos = list(dict.fromkeys(videos))
    names = [pathlib.Path(video).stem for video in videos]
    if len(set(names)) < len(names):
        places = [pathlib.Path(video).absolute() for video in videos]
        common = os.path.commonpath([place.parent for place in places])
        names = [os.path.relpath(place, common) for place in places]
    return dict(zip(videos, names, strict=True))


def folders_of(videos: Iterable[str], out: str, default: str, files: Sequence[str]) -> dict[str, str]:
    """Return the output folder of each video: `out` for a single video, else a subfolder of `out` or `default`.

    Args:
      files: names of the files to be written there.

    Raises:
      ConfigError: when a folder cannot be written, or a file would overwrite an input video.
    """
    names = names_of(videos)
    if len(names) == 1 and out:
        folders = dict.fromkeys(names, out)
    else:
        folders = {video: os.path.join(out or default, name) for video, name in names.items()}
    for folder in folders.values():
        check_writable(folder)
    check_none_is_read((os.path.join(folder, file) for folder in folders.values() for file in files), names)
    return folders


def check_none_is_read(places: Iterable[str], inputs: Iterable[str]) -> None:
    """Refuse to overwrite an input file, even under another name."""
    read = {identity: path for path in inputs if (identity := _identity(path))}
    for place in places:
        if over := read.get(_identity(place)):
            raise ConfigError(f"{place} would overwrite the input {over}; choose another path")


def _identity(path: str) -> tuple[int, int] | None:
    """Return a file's unique identity (device, inode), or None if it does not exist."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def check_new(folder: str) -> None:
    """Refuse a folder that is not empty or cannot be created."""
    path = pathlib.Path(folder)
    if path.is_dir() and any(path.iterdir()):
        raise ConfigError(f"{folder} exists and is not an empty folder; name a new one")
    check_writable(folder)


def check_writable(folder: str) -> None:
    """Refuse a folder that cannot be created or written to; access to a bucket is checked only on writing."""
    if in_bucket(folder):
        return
    path = pathlib.Path(folder).absolute()
    there = next(place for place in (path, *path.parents) if os.path.exists(place))
    if not there.is_dir():
        raise ConfigError(f"{folder} cannot be a folder because {there} is a file; choose another")
    try:
        tempfile.TemporaryFile(dir=there).close()  # permission bits mislead: root has them all, even in /proc
    except OSError as error:
        raise ConfigError(f"{folder}: nothing can be written in {there} ({error.strerror}); choose another") from error
