"""Files and folders named on the command line, refused before anything is computed."""

from __future__ import annotations

import glob
import os
import pathlib

from vidjax.errors import ConfigError, DataError

VIDEOS_HELP = "video files, or patterns such as 'clips/*.mp4'"


def find_videos(words: list[str]) -> list[str]:
    """The videos that words of a command line mean.

    A word is a video file, or a pattern such as `clips/*.mp4` that the shell left alone. Videos that are named but are
    not there stay in the list; what opens them says so.

    Raises:
      DataError: when no video is there, or nothing matches a pattern.
    """
    found = [video for word in words for video in _videos_of(word)]
    if not any(os.path.exists(video) for video in found):
        raise DataError(f"{found[0]} cannot be found; name {VIDEOS_HELP}")
    return found


def _videos_of(word: str) -> list[str]:
    if os.path.exists(word) or not glob.has_magic(word):
        return [word]
    matches = sorted(glob.glob(word, recursive=True))
    if not matches:
        raise DataError(f"nothing matches the pattern {word}; name {VIDEOS_HELP}")
    return matches


def check_new(folder: str) -> None:
    """Refuse to write into a folder that holds something, or that cannot be made."""
    path = pathlib.Path(folder)
    if path.is_dir() and any(path.iterdir()):
        raise ConfigError(f"{folder} exists and is not an empty folder; name a new one")
    check_writable(folder)


def check_writable(folder: str) -> None:
    """Refuse a folder that cannot be made or written into."""
    path = pathlib.Path(folder).absolute()
    there = next(place for place in (path, *path.parents) if place.exists())
    if not there.is_dir():
        raise ConfigError(f"{folder} cannot be a folder, for {there} is a file; name another")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"{folder} cannot be written, for nothing may be made in {there}; name another")
