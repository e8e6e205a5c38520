"""Data sets prepared as ArrayRecord files by TFDS (`vidjax prepare`), read without TensorFlow.

Beside the records, `labels_<split>.npy` holds the class number of each row, so that the rows of a class can be found
without reading any record.
"""

from __future__ import annotations

import glob
import json
import logging
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Int64

from vidjax.data.in_place import placed
from vidjax.data.sources import labelmap
from vidjax.data.sources.annotations import LABEL, NOTHING
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.record_files import RecordFiles
from vidjax.data.sources.rows import Row, content_id
from vidjax.data.video.readers import StoredVideo, read_record
from vidjax.errors import DataError, VideoError
from vidjax.files import read_json

_TFDS_FEATURES = "tensorflow_datasets.core.features."
_NAME_A_CLASS = ("pythonClassName", "python_class_name", "type")  # keys of features.json


class RecordSource(VideoSource):
    """Records with a video (bytes), an id and, where videos have classes, a label."""

    def __init__(self, folder: str, split: str, num_classes: int = 0):
        self.name, self._folder = split, folder
        builder, self._records = open_records(folder, split)
        features = builder.info.features
        if "video" not in features:
            raise DataError(f"the records in {folder} have no feature named video; write records with `vidjax prepare`")
        if "about" in features:  # annotations instead of a label
            raise DataError(
                f"the records in {folder} hold other annotations instead of labels; set data.name to the data set "
                "that they were made from"
            )
        info = builder.info.splits[split]
        self.annotation = LABEL if "label" in features else NOTHING
        label: Any = features["label"] if self.annotation == LABEL else None
        self.labels = tuple(label.names) if getattr(label, "names", None) else None
        labelmap.check(folder, self.labels)
        self.num_classes = num_classes or getattr(label, "num_classes", None) or 0
        if self.labels and self.num_classes < len(self.labels):
            raise DataError(
                f"data.num_classes={num_classes}, but {folder} has {len(self.labels)} classes; use 0, or "
                "at least as many"
            )
        if not self.num_classes and self.annotation == LABEL:
            raise DataError(f"{folder} does not say how many classes it has; set data.num_classes")
        self._labels = None
        self.knows_labels = os.path.exists(labels_path(folder, split))
        self.content_id = content_id(
            [builder.info.full_name, split, self.num_classes, list(info.shard_lengths), info.num_bytes]
        )

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Row:
        """One row; if its record is damaged, opening its video raises `VideoError`."""
        unnamed = f"{self.name}/{index}"
        try:
            record = read_record(self._records, int(index))
        except VideoError:
            return Row(self.place(index), int(self.row_labels()[index]), unnamed)
        name = record.get("id", unnamed)
        name = name.decode() if isinstance(name, bytes) else str(name)
        return Row(bytes(record["video"]), int(record.get("label", 0)), name)

    def __getstate__(self) -> dict[str, Any]:
        """Include the labels, so that the row of a damaged record has its label; loader processes share the array."""
        if self.knows_labels:
            self.row_labels()
        return super().__getstate__()

    def place(self, index: int) -> StoredVideo:
        """The location of a row's video, without reading it."""
        return StoredVideo(self._records, int(index))

    def row_labels(self) -> Int64[np.ndarray, " rows"]:
        if self._labels is None:
            self._labels = self._all_labels()
        return self._labels

    def _all_labels(self) -> Int64[np.ndarray, " rows"]:
        if self.annotation == NOTHING:
            return np.zeros(len(self), np.int64)
        path = labels_path(self._folder, self.name)
        if os.path.exists(path):
            remedy = "prepare the data set again"
            try:
                labels = placed(np.load(path))
            except Exception as error:  # damaged headers raise errors of Python's tokenizer; pickles are rejected
                raise DataError(f"{path} cannot be read ({error}); {remedy}") from error
            if len(labels) != len(self):
                raise DataError(f"{path} has {len(labels)} labels for {len(self)} records; {remedy}")
            if labels.dtype != np.int64 or labels.min() < 0 or labels.max() >= self.num_classes:
                raise DataError(
                    f"{path} is damaged: it must hold int64 values from 0 to {self.num_classes - 1}; {remedy}"
                )
            return labels
        logging.getLogger("vidjax").warning("%s is missing: reading all records for their labels", path)
        return np.array([int(read_record(self._records, index)["label"]) for index in range(len(self))])


def open_records(folder: str, split: str) -> tuple[Any, Any]:
    """Open the TFDS builder of a folder, and the records of one of its splits.

    Raises:
      DataError: when they cannot be read, or the split has none.
    """
    builder = _builder(folder)
    if split not in builder.info.splits:
        found = ", ".join(builder.info.splits) or "none"
        raise DataError(f"{folder} has no split {split!r}; it has {found}")
    stored = _read(builder, split)
    if not len(stored):
        raise DataError(f"the split {split!r} of {folder} is empty")
    return builder, stored


def splits(folder: str) -> tuple[str, ...]:
    """Return the names of the splits in a folder of records."""
    return tuple(_builder(folder).info.splits)


def labels_path(folder: str, split: str) -> str:
    """Return the path of a split's class numbers."""
    return os.path.join(folder, f"labels_{split}.npy")


def find(root: str) -> str | None:
    """Find the folder with the records: `root`, or the only one at most two levels (name, version) below it.

    Raises:
      DataError: if there are several.
    """
    for level in ("", "*", "*/*"):
        found = sorted(glob.glob(os.path.join(glob.escape(root), level, "dataset_info.json")))
        if len(found) > 1:
            folders = ", ".join(os.path.dirname(path) for path in found)
            raise DataError(f"{root} holds several prepared data sets; set data.root to one of {folders}")
        if found:
            return os.path.dirname(found[0])
    return None


def folder_of(root: str) -> str:
    """Find the folder with the records, which must exist.

    Raises:
      DataError: if there is none, or several.
    """
    folder = find(root)
    if folder is None:
        raise DataError(f"{root} holds no prepared records; `vidjax prepare` writes them")
    return folder


def _builder(folder: str):
    import tensorflow_datasets as tfds

    try:
        _check_features(folder)
        return tfds.builder_from_directory(folder)
    except DataError:
        raise
    except Exception as error:  # damaged metadata can raise errors of TFDS, protobuf and JSON
        raise DataError(f"the prepared data set in {folder} cannot be opened: {error}") from error


def _check_features(folder: str) -> None:
    """Reject features outside TFDS: TFDS would import the module of any class that features.json names."""
    tree = read_json(os.path.join(folder, "features.json"))
    if stranger := next((name for name in _class_names(tree) if not name.startswith(_TFDS_FEATURES)), ""):
        raise DataError(f"{folder}/features.json names the class {stranger!r}, which is not a TFDS feature")


def _class_names(tree: Any) -> Iterator[str]:
    """Every class name in the JSON of features, parts of which may be JSON in a string."""
    for key, value in tree.items() if isinstance(tree, dict) else ():
        if key in _NAME_A_CLASS and isinstance(value, str):
            yield value
        elif key == "json" and isinstance(value, str):
            yield from _class_names(json.loads(value))
        else:
            yield from _class_names(value)
    for value in tree if isinstance(tree, list) else ():
        yield from _class_names(value)


def _read(builder, split: str):
    try:
        return RecordFiles(builder.info, split)
    except Exception as error:  # damaged metadata, as above
        raise DataError(f"the split {split!r} of {builder.data_dir} cannot be read: {error}") from error
