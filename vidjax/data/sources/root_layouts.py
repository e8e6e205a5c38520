"""The layouts of a root whose videos have one class each: records, official annotations, a list, or class folders.

`vidjax.data.open` and `vidjax check` both read a split in the first layout that the root has.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from vidjax.config import DataConfig
from vidjax.data.dataset_spec import DatasetSpec
from vidjax.data.sources import inventory, own_videos, records, video_files
from vidjax.data.sources.annotation_checks import class_counts, unseen_class_warnings, warn
from vidjax.data.sources.annotations import LABEL, NOTHING
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.inventory import Inventory
from vidjax.data.sources.official_lists import Listing
from vidjax.data.sources.own_rows import open_own_videos
from vidjax.errors import DataError


@dataclass(frozen=True)
class Layout:
    """A layout of the files below a root.

    Attributes:
      name: the name that `vidjax check` prints.
      found: (spec, root, split) -> whether the root has the split in this layout.
      open: (spec, root, split, data, annotation) -> the rows of the split.
      inventory: (spec, root, split) -> the videos that the split lists, including missing ones.
    """

    name: str
    found: Callable[[DatasetSpec, str, str], bool]
    open: Callable[[DatasetSpec, str, str, DataConfig, str], VideoSource]
    inventory: Callable[[DatasetSpec, str, str], Inventory]


def find_layout(spec: DatasetSpec, root: str, split: str) -> Layout | None:
    """The first of `LAYOUTS` in which a root has a split; None if there is none."""
    return next((layout for layout in LAYOUTS if layout.found(spec, root, split)), None)


def open_classes(spec: DatasetSpec, root: str, split: str, data: DataConfig, annotation: str = LABEL) -> VideoSource:
    """Open a split with one class per video, whatever the layout of the root.

    Args:
      annotation: LABEL, or NOTHING to accept folders and lists without classes too.

    Raises:
      DataError: when no layout of the root has the split, or its annotations are malformed.
    """
    layout = find_layout(spec, root, split)
    if layout is None:
        there = ", ".join(sorted(os.listdir(root))[:8])
        raise DataError(
            f"{root} has neither a folder {split}/ nor a list {split}.csv nor prepared records; it has {there}. "
            "Videos of your own, in any folders, are read with --config.data.name=folder"
        )
    source = layout.open(spec, root, split, data, annotation)
    if annotation == LABEL and layout is not _RECORDS:  # counting classes could mean reading all records
        warn_of_unseen_classes(source, split, data)
    return source


def open_records(root: str, split: str, data: DataConfig, annotation: str) -> records.RecordSource:
    """Open a split of prepared records, with one class each or none.

    Raises:
      DataError: when they do not carry the annotation.
    """
    source = records.RecordSource(records.folder_of(root), split, data.num_classes)
    if annotation not in (NOTHING, source.annotation):
        raise DataError(f"the records in {root} carry no {annotation}; train on the videos that they were made from")
    return source


def warn_of_unseen_classes(source: VideoSource, split: str, data: DataConfig) -> None:
    """Log the number of classes without a video in the training split."""
    if split == data.train_split and source.annotation == LABEL:
        warn(unseen_class_warnings(data.name, class_counts(source)))


def _has_records(spec: DatasetSpec, root: str, split: str) -> bool:
    return records.find(root) is not None


def _open_records(spec: DatasetSpec, root: str, split: str, data: DataConfig, annotation: str) -> VideoSource:
    return open_records(root, split, data, annotation)


def _list_records(spec: DatasetSpec, root: str, split: str) -> Inventory:
    return spec.inventory(root, split) if spec.inventory else inventory.of_records(records.folder_of(root), split)


def _has_annotations(spec: DatasetSpec, root: str, split: str) -> bool:
    return spec.find_annotations is not None and spec.find_annotations(root, split) is not None


def _open_annotations(spec: DatasetSpec, root: str, split: str, data: DataConfig, annotation: str) -> VideoSource:
    del annotation
    paths, labels, names = _listing(spec, root, split).index()
    files = video_files.Files.of(root, paths)
    return video_files.FileSource(split, files, labels, names, max(len(names), data.num_classes))


def _list_annotations(spec: DatasetSpec, root: str, split: str) -> Inventory:
    return spec.inventory(root, split) if spec.inventory else inventory.of_listing(_listing(spec, root, split))


def _listing(spec: DatasetSpec, root: str, split: str) -> Listing:
    if spec.listing is None:
        raise DataError(f"{spec.title}: its annotations do not list one class per video")
    return spec.listing(root, split)


def _has_list(spec: DatasetSpec, root: str, split: str) -> bool:
    return bool(place := own_videos.place_of(root, split)) and os.path.isfile(place)


def _has_folders(spec: DatasetSpec, root: str, split: str) -> bool:
    return bool(place := own_videos.place_of(root, split)) and os.path.isdir(place)


def _open_own(spec: DatasetSpec, root: str, split: str, data: DataConfig, annotation: str) -> VideoSource:
    return open_own_videos(root, split, data, annotation, divide=False)


def _list_own(spec: DatasetSpec, root: str, split: str) -> Inventory:
    return inventory.of_own_videos(root, split, DataConfig(num_classes=spec.num_classes), divide=False)


_RECORDS = Layout("records", _has_records, _open_records, _list_records)
OFFICIAL = Layout("official annotations", _has_annotations, _open_annotations, _list_annotations)
LAYOUTS = (
    _RECORDS,
    OFFICIAL,
    Layout(own_videos.LIST, _has_list, _open_own, _list_own),
    Layout(own_videos.CLASS_FOLDERS, _has_folders, _open_own, _list_own),
)
