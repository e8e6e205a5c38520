"""How videos of one class each can lie in a root: records, official annotations, a list, or class folders.

`vidjax.data.open` opens a split by the first layout that the root has, `vidjax check` lists the split by the same one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from vidjax.config import DataConfig
from vidjax.data.dataset_spec import DatasetSpec
from vidjax.data.sources import class_folders, inventory, path_lists, records, video_files
from vidjax.data.sources.annotation_checks import unseen_class_warnings, warn
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.inventory import Inventory
from vidjax.data.sources.official_lists import Listing
from vidjax.errors import DataError


@dataclass(frozen=True)
class Layout:
    """One way in which a root can hold a split.

    Attributes:
      name: as `vidjax check` prints it.
      found: (spec, root, split) -> whether the root has the split in this layout.
      open: (spec, root, split, data) -> the rows of the split.
      inventory: (spec, root, split) -> what the split lists, there or not.
    """

    name: str
    found: Callable[[DatasetSpec, str, str], bool]
    open: Callable[[DatasetSpec, str, str, DataConfig], VideoSource]
    inventory: Callable[[DatasetSpec, str, str], Inventory]


def find_layout(spec: DatasetSpec, root: str, split: str) -> Layout | None:
    """The first of `LAYOUTS` in which a root has a split; None if it has it in none."""
    return next((layout for layout in LAYOUTS if layout.found(spec, root, split)), None)


def open_classes(spec: DatasetSpec, root: str, split: str, data: DataConfig) -> VideoSource:
    """Open a split with one class per video, in whatever layout the root has.

    Raises:
      DataError: when the root has the split in no layout, or its annotations are malformed.
    """
    layout = find_layout(spec, root, split)
    if layout is None:
        there = ", ".join(sorted(os.listdir(root))[:8])
        raise DataError(
            f"{root} has neither a folder {split}/ nor a list {split}.csv nor prepared records; it has {there}"
        )
    source = layout.open(spec, root, split, data)
    if split == data.train_split and layout is not _RECORDS:  # counting them could mean reading all
        names = source.labels or tuple(map(str, range(source.num_classes)))
        counts = {name: len(source.rows_of_class(number)) for number, name in enumerate(names)}
        warn(unseen_class_warnings(data.name, counts))
    return source


def _has_records(spec: DatasetSpec, root: str, split: str) -> bool:
    return records.find(root) is not None


def _open_records(spec: DatasetSpec, root: str, split: str, data: DataConfig) -> VideoSource:
    return records.RecordSource(records.folder_of(root), split, data.num_classes)


def _list_records(spec: DatasetSpec, root: str, split: str) -> Inventory:
    return spec.inventory(root, split) if spec.inventory else inventory.of_records(records.folder_of(root), split)


def _has_annotations(spec: DatasetSpec, root: str, split: str) -> bool:
    return spec.find_annotations is not None and spec.find_annotations(root, split) is not None


def _open_annotations(spec: DatasetSpec, root: str, split: str, data: DataConfig) -> VideoSource:
    paths, labels, names = _listing(spec, root, split).index()
    return video_files.FileSource(root, split, paths, labels, names, max(len(names), data.num_classes))


def _list_annotations(spec: DatasetSpec, root: str, split: str) -> Inventory:
    return spec.inventory(root, split) if spec.inventory else inventory.of_listing(_listing(spec, root, split))


def _listing(spec: DatasetSpec, root: str, split: str) -> Listing:
    if spec.listing is None:
        raise DataError(f"{spec.title}: its annotations do not list videos of one class each")
    return spec.listing(root, split)


def _has_list(spec: DatasetSpec, root: str, split: str) -> bool:
    return os.path.isfile(os.path.join(root, f"{split}.csv"))


def _open_list(spec: DatasetSpec, root: str, split: str, data: DataConfig) -> VideoSource:
    return path_lists.from_list(root, split, data.train_split, data.num_classes)


def _list_list(spec: DatasetSpec, root: str, split: str) -> Inventory:
    return inventory.of_list(root, split, spec.num_classes)


def _has_class_folders(spec: DatasetSpec, root: str, split: str) -> bool:
    return os.path.isdir(os.path.join(root, split))


def _open_class_folders(spec: DatasetSpec, root: str, split: str, data: DataConfig) -> VideoSource:
    return class_folders.from_class_folders(root, split, data.train_split, data.num_classes)


def _list_class_folders(spec: DatasetSpec, root: str, split: str) -> Inventory:
    return inventory.of_class_folders(root, split)


_RECORDS = Layout("records", _has_records, _open_records, _list_records)
OFFICIAL = Layout("official annotations", _has_annotations, _open_annotations, _list_annotations)
LAYOUTS = (
    _RECORDS,
    OFFICIAL,
    Layout("list", _has_list, _open_list, _list_list),
    Layout("class folders", _has_class_folders, _open_class_folders, _list_class_folders),
)
