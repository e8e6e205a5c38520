"""Files that `vidjax predict` writes of time lines: which, where, and what may not be overwritten."""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vidjax.cli import paths
from vidjax.cli.terminal import say
from vidjax.errors import ConfigError, VideoError
from vidjax.files import in_bucket, located, write_whole
from vidjax.progress import progress

OF_EACH = {"srt": ".srt", "vtt": ".vtt", "out": ".mp4"}  # options that write a file for each video
OF_ALL = {"csv": ".csv", "html": ".html"}  # and those that write one for all
_OTHERS = (*OF_EACH.values(), *OF_ALL.values(), ".json", ".txt", ".mkv", ".mov", ".avi", ".webm", ".gif")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of these files."""
    add = parser.add_argument
    each = "a file, or a folder of one file a video"
    add("--srt", metavar="PATH", help=f"write the time line as subtitles, SubRip: {each}")
    add("--vtt", metavar="PATH", help=f"as subtitles, WebVTT: {each}")
    add("--out", metavar="PATH", help=f"write the video with its time line burnt in, .mp4: {each}")
    add("--csv", metavar="FILE", help="write the time lines of all videos as a table")
    add("--html", metavar="FILE", help="write them as a page with pictures, in one file")


@dataclasses.dataclass(frozen=True)
class Files:
    """Where files go: of each option the path for each video, or the one of all."""

    of_each: Mapping[str, Mapping[str, str]]
    of_all: Mapping[str, str]

    def __bool__(self) -> bool:
        return bool(self.of_each or self.of_all)

    def write_of(self, answer: Mapping[str, Any]) -> str:
        """Write the files of one video that was answered; returns why its annotated copy could not be made, or ""."""
        from vidjax.viz import subtitles
        from vidjax.viz.time_line import cues

        video, shown, texts = answer["video"], cues(answer), {"srt": subtitles.srt, "vtt": subtitles.webvtt}
        for option, places in self.of_each.items():
            located(places[video]).parent.mkdir(parents=True, exist_ok=True)
            if option == "out":
                try:
                    _annotate(video, places[video], shown)
                except VideoError as error:
                    return str(error)
            else:
                write_whole(places[video], texts[option](shown))
            say(f"written: {places[video]}")
        return ""

    def write_of_all(self, answers: Sequence[Mapping[str, Any]], about: str) -> None:
        """Write the files of all videos; `about` is a sentence on how they were looked at."""
        from vidjax.viz.time_line import csv_table
        from vidjax.viz.time_line_page import page

        texts: dict[str, Callable[[], str]] = {"csv": lambda: csv_table(answers), "html": lambda: page(answers, about)}
        for option, place in self.of_all.items():
            with progress(f"writing {place}"):
                located(place).parent.mkdir(parents=True, exist_ok=True)
                write_whole(place, texts[option]())
            say(f"written: {place}")


def find_files(arguments: argparse.Namespace, videos: list[str]) -> Files:
    """The files that are asked for.

    Raises:
      ConfigError: for a name that does not fit, one that is a video which is read, or a folder that cannot be written.
    """
    asked = {option: path for option in (*OF_EACH, *OF_ALL) if (path := getattr(arguments, option))}
    of_each = {option: _of_each(option, path, videos) for option, path in asked.items() if option in OF_EACH}
    of_all = {option: path for option, path in asked.items() if option in OF_ALL}
    for option, path in of_all.items():
        if not path.endswith(OF_ALL[option]) or os.path.isdir(path):
            raise ConfigError(f"--{option}={path} must name a file that ends in {OF_ALL[option]}")
    for path in (*of_all.values(), *(path for places in of_each.values() for path in places.values())):
        paths.check_writable(os.path.dirname(path) or os.curdir)
    return Files(of_each, of_all)


def _of_each(option: str, path: str, videos: list[str]) -> dict[str, str]:
    """The file of each video: the path if it has the suffix, else a file in that folder, named after the video."""
    suffix = OF_EACH[option]
    if option == "out" and in_bucket(path):
        raise ConfigError(f"--out={path} is in a bucket; an annotated video is written on a disk")
    if path.endswith(suffix) and not os.path.isdir(path):
        if len(set(videos)) > 1:
            raise ConfigError(f"--{option}={path} is one file, and there are {len(videos)} videos; name a folder")
        places = dict.fromkeys(videos, path)
    elif path.lower().endswith(_OTHERS):
        raise ConfigError(f"--{option}={path} must end in {suffix}, or be a folder")
    else:
        places = {video: os.path.join(path, name + suffix) for video, name in _names(videos).items()}
    for place in places.values():
        for video in videos:
            if os.path.exists(place) and os.path.exists(video) and os.path.samefile(place, video):
                raise ConfigError(f"--{option}={path} would overwrite {video}; name another")
    return places


def _names(videos: list[str]) -> dict[str, str]:
    """What the files of each video are called: its name, with the folders that tell it from others of that name."""
    videos = list(dict.fromkeys(videos))
    names = [pathlib.Path(video).stem for video in videos]
    if len(set(names)) < len(names):
        places = [pathlib.Path(video).absolute() for video in videos]
        common = os.path.commonpath([place.parent for place in places])
        names = [os.path.relpath(place, common) for place in places]
    return dict(zip(videos, names, strict=True))


def _annotate(video: str, place: str, shown: Any) -> None:
    from vidjax.data import probe_video
    from vidjax.viz.annotated_video import annotate

    with progress(f"writing {place}", probe_video(video).frames, unit="frames") as advance:
        lost = annotate(video, place, shown, advance)
    if lost:
        say(f"note: {lost}")
