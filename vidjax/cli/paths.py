"""Files and folders named on the command line, refused before anything is computed."""

from __future__ import annotations

import os
import pathlib

from vidjax.errors import ConfigError, DataError


def check_videos(videos: list[str]) -> None:
    """Refuse videos none of which is there."""
    if not any(pathlib.Path(video).exists() for video in videos):
        raise DataError(f"{videos[0]} cannot be found; name video files")


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
