"""The rows of a user's own videos, with what a task learns from: nothing, a class, several labels or captions."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable

import numpy as np
from jaxtyping import Int32

from vidjax.config import DataConfig
from vidjax.data.sources.annotation_checks import warn
from vidjax.data.sources.annotations import CAPTIONS, INTERVALS, LABEL, NOTHING
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.in_memory import InMemorySource
from vidjax.data.sources.own_videos import LIST, OwnVideos, numeric, read_own_videos
from vidjax.data.sources.reading import describe
from vidjax.data.sources.rows import Row
from vidjax.data.sources.video_files import Files, FileSource
from vidjax.data.sources.video_tree import spread
from vidjax.data.sources.videos import Entry, Videos
from vidjax.errors import DataError


def open_own_videos(root: str, split: str, data: DataConfig, annotation: str, *, divide: bool = True) -> VideoSource:
    """Open a split of a root that holds videos, lists of videos or class folders.

    Args:
      annotation: what rows must carry. With NOTHING, rows still have their class if every video has exactly one.
      divide: as for `read_own_videos`.

    Raises:
      DataError: when the root holds no videos or lacks what rows must carry, or no listed file is found.
    """
    own = read_own_videos(root, split, data, divide=divide)
    videos, numbers = own.splits[split], ClassNumbers(own, split, data)
    if own.layout == LIST:
        _check_some_are_there(own, split)
    if annotation in (LABEL, NOTHING):
        source = _files(own, videos, numbers, annotation)
    else:
        source = _annotated(own, videos, numbers, annotation)
    source.reading = describe(own, data)
    return source


class ClassNumbers:
    """The class numbers of labels, which lists and folders give as text.

    Attributes:
      own: the videos.
      split: their split.
      count: the number of classes.

    Raises:
      DataError: when data.num_classes is smaller than the number of classes.
    """

    def __init__(self, own: OwnVideos, split: str, data: DataConfig):
        self.own, self.split, self._numeric = own, split, numeric(own)
        self._numbers = {name: number for number, name in enumerate(own.names)}
        self._train = data.train_split
        found = len(own.names) or self._highest() + 1
        if own.names and data.num_classes and data.num_classes < len(own.names):
            raise DataError(
                f"data.num_classes={data.num_classes}, but {own.root} has {len(own.names)} classes; use 0, or "
                "at least as many"
            )
        self.count = data.num_classes or found

    def of(self, entry: Entry) -> tuple[int, ...]:
        """The numbers of a video's classes.

        Raises:
          DataError: naming the video, for a class number that is too high, or a class that does not occur in training
            (without a training split, in the first split that exists).
        """
        return tuple(self._number(label, entry) for label in entry.labels)

    def of_all(self, videos: Videos) -> Int32[np.ndarray, " n"]:
        """The numbers of videos with one class each.

        Raises:
          DataError: as `of`.
        """
        first, numbers = np.full((2, len(videos.labels.values)), -1, np.int32)
        codes = videos.label_codes()
        first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1, dtype=np.int32)  # the last assignment wins
        for code in np.flatnonzero(first >= 0):
            (numbers[code],) = self.of(videos[int(first[code])])
        return numbers[codes]

    def _number(self, label: str, entry: Entry) -> int:
        number = int(float(label)) if self._numeric else self._numbers.get(label)
        if number is None:
            raise DataError(
                f"{self.own.place(entry, self.split)} has the class {label!r}, which does not occur in "
                f"{next(iter(self.own.places.values()))}"  # classes are numbered by the first split that exists
            )
        if number >= self.count:
            where = self.own.place(entry, self.split)
            raise DataError(f"{where}: label {number} is not one of the {self.count} classes")
        return number

    def _highest(self) -> int:
        """The highest class number in the training videos, or in all videos if there are none for training."""
        if not self._numeric:
            return -1
        splits = [self.own.splits[self._train]] if self._train in self.own.splits else self.own.splits.values()
        return max((int(float(label)) for of in splits for labels in of.label_sets() for label in labels), default=-1)


def _files(own: OwnVideos, videos: Videos, numbers: ClassNumbers, annotation: str) -> FileSource:
    """Videos with one class each; with NOTHING, videos without classes unless every video has exactly one."""
    files = Files(own.root, videos.names)
    if annotation == LABEL:
        _check_one_label(own, videos, numbers.split)
    elif own.unlabelled or any(len(labels) != 1 for labels in videos.label_sets()):
        return FileSource(numbers.split, files)
    return FileSource(numbers.split, files, numbers.of_all(videos), own.names, numbers.count)


def _annotated(own: OwnVideos, entries: Videos, numbers: ClassNumbers, annotation: str) -> InMemorySource:
    """Videos with any number of labels, each for the whole video, or with captions."""
    if annotation == INTERVALS:
        _check_labelled(own)
        rows = [
            _row(own, entry, intervals=tuple((0.0, math.inf, number) for number in numbers.of(entry)))
            for entry in entries
        ]
        names = own.names or tuple(map(str, range(numbers.count)))
        return InMemorySource(numbers.split, rows, annotation=INTERVALS, labels=names, num_classes=numbers.count)
    rows = [_row(own, entry, captions=captions) for entry, captions in _described(own, entries)]
    return InMemorySource(numbers.split, rows, annotation=CAPTIONS)


def _row(own: OwnVideos, entry: Entry, **annotated) -> Row:
    return Row(os.path.join(own.root, entry.name), 0, entry.name, **annotated)


def _check_some_are_there(own: OwnVideos, split: str) -> None:
    """Check a few of the listed files: checking ten million would take an hour on a network file system.

    Raises:
      DataError: when none of them exists.
    """
    videos = own.splits[split]
    looked_at = [videos[index] for index in spread(len(videos))]
    missing = [entry for entry in looked_at if not os.path.exists(os.path.join(own.root, entry.name))]
    if not missing:
        return
    first = own.place(missing[0], split)
    place = os.path.normpath(os.path.join(own.root, missing[0].name))
    if len(missing) == len(looked_at):
        which = "listed videos" if len(looked_at) == len(videos) else f"{len(looked_at)} videos checked"
        raise DataError(
            f"{first}: there is no file {place}, nor any other of the {which}; set data.root to their folder"
        )
    logging.getLogger("vidjax").warning(
        "%s: there is no file %s; of %d videos checked, %d are missing; training replaces them with others. `vidjax "
        "check` checks all %d", first, place, len(looked_at), len(missing), len(videos),
    )  # fmt: skip


def _check_one_label(own: OwnVideos, videos: Videos, split: str) -> None:
    """Reject videos without a class or with several."""
    _check_labelled(own)
    wrong = np.flatnonzero(videos.labels.is_any(lambda labels: len(labels) != 1)[videos.names.rows])
    if len(wrong):
        entry = videos[int(wrong[0])]
        what = "no class" if not entry.labels else f"{len(entry.labels)} classes, {' and '.join(entry.labels)}"
        remedy = "give it one" if not entry.labels else "set config.task=multi_label to learn several"
        raise DataError(f"{own.place(entry, split)}: {entry.name} has {what}; {remedy}")


def _check_labelled(own: OwnVideos) -> None:
    """Reject videos without classes, and explain how to provide them."""
    if own.unlabelled:
        raise DataError(
            f"{own.unlabelled}: there are no classes to learn. Sort the videos into a folder for each class, "
            f"{own.root}/<class>/<video>, or write a list with the columns path and label. Videos without classes can "
            "be used for pre-training, with config.task=masked_autoencoding"
        )


def _described(own: OwnVideos, entries: Iterable[Entry]) -> list[tuple[Entry, tuple[str, ...]]]:
    """Videos with all their captions, which a list may spread over several lines.

    Videos without a caption are left out, with a warning.

    Raises:
      DataError: when no video has one.
    """
    together: dict[str, tuple[Entry, tuple[str, ...]]] = {}
    for entry in entries:
        first, captions = together.get(entry.name, (entry, ()))
        together[entry.name] = first, captions + entry.captions
    described = [(entry, captions) for entry, captions in together.values() if captions]
    if not described:
        raise DataError(
            f"{own.root} has no captions; write a list with the columns path and caption: train.csv and val.csv, or "
            "one list for both"
        )
    if bare := [name for name, (_, captions) in together.items() if not captions]:
        warn([f"{own.root}: {len(bare)} of {len(together)} videos have no caption and are left out, such as {bare[0]}"])
    return described
