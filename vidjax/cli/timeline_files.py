"""The timeline files that `vidjax predict` writes, and their paths."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vidjax.cli import paths
from vidjax.cli.terminal import say
from vidjax.errors import ConfigError, VideoError
from vidjax.files import in_bucket, located, make_folder, write_whole
from vidjax.progress import progress

OF_EACH = {"srt": ".srt", "vtt": ".vtt", "out": ".mp4"}  # options that write one file per video
OF_ALL = {"csv": ".csv", "html": ".html"}  # options that write one file for all videos
_OTHERS = (*OF_EACH.values(), *OF_ALL.values(), ".json", ".txt", ".mkv", ".mov", ".avi", ".webm", ".gif")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of these files."""
    add = parser.add_argument
    each = "a file, or a folder for one file per video"
    add("--srt", metavar="PATH", help=f"write the timeline as SubRip subtitles: {each}")
    add("--vtt", metavar="PATH", help=f"write the timeline as WebVTT subtitles: {each}")
    add("--out", metavar="PATH", help=f"write the video with its timeline burnt in, as .mp4: {each}")
    add("--csv", metavar="FILE", help="write the timelines of all videos as one table")
    add("--html", metavar="FILE", help="write the timelines of all videos as one page with pictures")


@dataclasses.dataclass(frozen=True)
class Files:
    """Output paths by option: one path per video, or one for all videos."""

    of_each: Mapping[str, Mapping[str, str]]
    of_all: Mapping[str, str]

    def __bool__(self) -> bool:
        return bool(self.of_each or self.of_all)

    def write_of(self, answer: Mapping[str, Any]) -> str:
        """Write the files of one video; return the reason if its annotated copy failed, else ""."""
        from vidjax.viz import subtitles
        from vidjax.viz.timeline import cues

        video, shown, texts = answer["video"], cues(answer), {"srt": subtitles.srt, "vtt": subtitles.webvtt}
        for option, places in self.of_each.items():
            make_folder(located(places[video]).parent)
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
        """Write the files that cover all videos; `about` describes the views and the model."""
        from vidjax.viz.timeline import csv_table
        from vidjax.viz.timeline_page import page

        texts: dict[str, Callable[[], str]] = {"csv": lambda: csv_table(answers), "html": lambda: page(answers, about)}
        for option, place in self.of_all.items():
            with progress(f"writing {place}"):
                make_folder(located(place).parent)
                write_whole(place, texts[option]())
            say(f"written: {place}")


def find_files(arguments: argparse.Namespace, videos: list[str]) -> Files:
    """Return the output files that the options request.

    Raises:
      ConfigError: for a wrong suffix, one file for several videos, an annotated video in a bucket, a file that is an
        input, or a folder that cannot be written.
    """
    asked = {option: path for option in (*OF_EACH, *OF_ALL) if (path := getattr(arguments, option))}
    of_each = {option: _of_each(option, path, videos) for option, path in asked.items() if option in OF_EACH}
    of_all = {option: path for option, path in asked.items() if option in OF_ALL}
    for option, path in of_all.items():
        if not path.endswith(OF_ALL[option]) or os.path.isdir(path):
            raise ConfigError(f"--{option}={path} must name a file that ends in {OF_ALL[option]}")
    written = [*of_all.values(), *(path for places in of_each.values() for path in places.values())]
    for folder in {os.path.dirname(path) or os.curdir for path in written}:
        paths.check_writable(folder)
    paths.check_none_is_read(written, [*videos, *arguments.videos])
    return Files(of_each, of_all)


def _of_each(option: str, path: str, videos: list[str]) -> dict[str, str]:
    """Return each video's file: `path` if it has the suffix, else a file in this folder, named after the video."""
    suffix = OF_EACH[option]
    if option == "out" and in_bucket(path):
        raise ConfigError(f"--out={path} is in a bucket; annotated videos can only be written to a local folder")
    if path.endswith(suffix) and not os.path.isdir(path):
        if len(set(videos)) > 1:
            raise ConfigError(f"--{option}={path} is one file, but there are {len(videos)} videos; name a folder")
        places = dict.fromkeys(videos, path)
    elif path.lower().endswith(_OTHERS) and not os.path.isdir(path):
        raise ConfigError(f"--{option}={path} must end in {suffix}, or be a folder")
    else:
        places = {video: os.path.join(path, name + suffix) for video, name in paths.names_of(videos).items()}
    return places


def _annotate(video: str, place: str, shown: Any) -> None:
    from vidjax.data import probe_video
    from vidjax.viz.annotated_video import annotate

    with progress(f"writing {place}", probe_video(video).frames, unit="frames") as advance:
        lost = annotate(video, place, shown, advance)
    if lost:
        say(f"note: {lost}")
