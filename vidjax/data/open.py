"""`open_source`: opens one split of a data set, whatever layout `data.root` has."""

from __future__ import annotations

import importlib
import os

from vidjax.config import DataConfig
from vidjax.data import motion_videos
from vidjax.data.datasets import EMBEDDED, PUBLIC, WITH_FACTS
from vidjax.data.sources import files, records
from vidjax.data.sources.annotations import OF_TASK, told_unseen, warn
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.synthetic import SyntheticSource
from vidjax.errors import DataError


def open_source(data: DataConfig, split: str, fact: str = "") -> VideoSource:
    """Open one split of a data set.

    `data.root` holds class folders `<split>/<class>/*`, a list `<split>.csv` of `path label` lines, a prepared
    ArrayRecord data set, or a public data set as it is distributed (with data.name set to it). The names motion,
    motion_digits and synthetic need no root.

    Args:
      split: for example `train`, `val` or `test`; class folders take their numbers from `data.train_split`.
      fact: what rows must carry beside a class (see `annotations.fact_of`); empty for no more than that.

    Raises:
      DataError: when the data is missing, empty or malformed, or does not have the fact; the message says where.
    """
    if fact and fact not in _facts_of(data.name):
        able = ", ".join(name for name in WITH_FACTS if fact in _facts_of(name))
        raise DataError(f"data.name={data.name} has classes but no {fact}; data sets with it: {able}")
    if data.name == "synthetic":
        return SyntheticSource(split, data.num_classes)
    root = _root(data, split)
    if not fact and data.name in WITH_FACTS and data.name != "motion" and "" not in _facts_of(data.name):
        needed = " or ".join(task for task, of_task in OF_TASK.items() if of_task in _facts_of(data.name))
        raise DataError(f"data.name={data.name} has no single class a video; set config.task={needed}")
    if fact or "" in _facts_of(data.name):
        source = _module(WITH_FACTS[data.name]).open_split(root, split, data, fact)
        if data.num_classes not in (0, source.num_classes):
            raise DataError(f"data.num_classes={data.num_classes}, but {data.name} has {source.num_classes}; use 0")
        return source
    return _open(root, data, split)


def open_to_store(data: DataConfig, split: str) -> VideoSource:
    """Open one split to be written as records: whole videos, with all that is known of them.

    Raises:
      DataError: as `open_source`.
    """
    if data.name in WITH_FACTS and data.name not in EMBEDDED:
        return _module(WITH_FACTS[data.name]).to_store(_root(data, split), split)
    return open_source(data, split)


def _root(data: DataConfig, split: str) -> str:
    root = _embedded_root(data, split) if data.name in EMBEDDED else data.root
    root = os.path.abspath(os.path.expanduser(root))
    if not data.root and data.name not in EMBEDDED:
        raise DataError("data.root is empty; set --config.data.root=DIR to the folder of your videos")
    if not os.path.isdir(root):
        raise DataError(f"data.root={data.root} is not a folder; create it or set --config.data.root=DIR")
    if not os.listdir(root):
        raise DataError(f"data.root={data.root} is an empty folder; put {split}/<class>/<video> or {split}.csv there")
    return root


def _open(root: str, data: DataConfig, split: str) -> VideoSource:
    source = _open_classes(root, data, split)
    if split == data.train_split and isinstance(source, files.FileSource):
        names = source.labels or tuple(map(str, range(source.num_classes)))
        counts = {name: len(source.rows_of_class(number)) for number, name in enumerate(names)}
        warn(told_unseen(data.name, counts))
    return source


def _open_classes(root: str, data: DataConfig, split: str) -> VideoSource:
    if records.find(root):
        return records.RecordSource(records.find(root), split, data.num_classes)
    if data.name in PUBLIC:
        public = _module(data.name)
        if public.annotations(root, split):
            paths, labels, names = public.listing(root, split).index()
            return files.FileSource(root, split, paths, labels, names, max(len(names), data.num_classes))
    if os.path.isfile(os.path.join(root, f"{split}.csv")):
        return files.from_list(root, split, data.train_split, data.num_classes)
    if os.path.isdir(os.path.join(root, split)):
        return files.from_class_folders(root, split, data.train_split, data.num_classes)
    found = ", ".join(sorted(os.listdir(root))[:8])
    raise DataError(f"{root} has neither a folder {split}/ nor a list {split}.csv nor prepared records; it has {found}")


def _facts_of(name: str) -> tuple[str, ...]:
    """What the rows of a data set can carry; an empty string where its own module also reads its classes."""
    return _module(WITH_FACTS[name]).FACTS if name in WITH_FACTS else ()


def _module(name: str):
    return importlib.import_module(f"vidjax.data.datasets.{name}")


def _embedded_root(data: DataConfig, split: str) -> str:
    if data.name == "motion_digits":
        return motion_videos.prepare(data.root, motion_videos.DIGITS)
    return _module("motion").root(data.root, split)
