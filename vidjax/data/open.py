"""Open one split of a data set, whatever the layout of `data.root`."""

from __future__ import annotations

import functools
import os

from vidjax.config import DataConfig
from vidjax.data.dataset_spec import DatasetSpec
from vidjax.data.datasets import DATASETS
from vidjax.data.mixtures import check_mixture, of_source, source_data, used_sources, validation_data
from vidjax.data.sources import records
from vidjax.data.sources.annotations import LABEL, NOTHING
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.checksums import find_checksums, warn_of_unlisted
from vidjax.data.sources.mixture import Mixture
from vidjax.data.sources.own_videos import ALL, place_of
from vidjax.data.sources.root_layouts import open_classes
from vidjax.data.staging import staged
from vidjax.errors import DataError, nearest_path
from vidjax.files import in_bucket


def open_source(data: DataConfig, split: str, annotation: str = LABEL) -> VideoSource:
    """Open one split of a data set.

    `data.name` is a name in `vidjax.data.datasets.DATASETS`, or `module:ATTR` for a `DatasetSpec` in a module of your
    own. `data.root` holds class folders `<split>/<class>/*`, a list `<split>.csv` of paths and labels, prepared
    records, or the data set as it is distributed. With `data.name=folder` it is any folder or list of videos, see
    `vidjax.data.sources.own_videos`. If `SHA256SUMS` in the root, or the list `data.checksums`, has a
    checksum for a file, the file is verified whenever it is opened. motion, motion_digits and synthetic need no root.

    With `data.mixture`, the training split is a `Mixture` of the sources that it names, and other splits come from
    `data.root` or, without it, from the source with the largest weight.

    Args:
      split: for example `train`, `val` or `test`, or `all` for your own videos. Class folders are numbered as in the
        split `data.train_split`.
      annotation: what rows must carry, a name in `vidjax.data.sources.annotations.ANNOTATIONS`. NOTHING asks for
        videos alone; rows still keep their classes if all have one.

    Raises:
      ConfigError: when there is no data set with that name, data.mixture is invalid, or the kind of bucket is unknown.
      DataError: when the data is missing, empty or malformed, or its rows do not carry the annotation.

    Example:
      >>> data = vidjax.config.DataConfig(root="videos", num_frames=8, image_size=64)
      >>> source = vidjax.data.open_source(data, "train")
      >>> source.labels, len(source)
      (('day', 'night'), 8)
    """
    if data.mixture:
        check_mixture(data)
        if split == data.train_split:
            return _open_mixture(data, annotation)
        data = validation_data(data)
    spec = DATASETS.find(data.name)
    check_annotation(data.name, spec, annotation)
    root = find_root(spec, data, split)
    return _with_checksums(_open(spec, root, split, data, annotation), root, data)


def _open_mixture(data: DataConfig, annotation: str) -> Mixture:
    """Open the sources of a mixture, each in its own layout."""
    opened = {}
    for name, source in used_sources(data).items():
        try:
            found = open_source(source_data(data, name), source.split or data.train_split, annotation)
        except DataError as error:
            raise DataError(of_source(str(error), name)) from error
        opened[name] = found, source.weight
    return Mixture(opened, annotation)


def _open(spec: DatasetSpec, root: str, split: str, data: DataConfig, annotation: str) -> VideoSource:
    if spec.open_split is None:
        return open_classes(spec, root, split, data, annotation)
    source = spec.open_split(root, split, data, annotation if annotation or spec.any_videos else spec.annotations[0])
    if annotation == NOTHING and source.annotation != LABEL:
        source.annotation = NOTHING  # batches then have no array for it
        return source
    if annotation not in (NOTHING, source.annotation):
        raise DataError(f"rows of data.name={data.name}, split {split!r}, carry {source.annotation}, not {annotation}")
    if data.num_classes not in (0, source.num_classes):
        raise DataError(f"data.num_classes={data.num_classes}, but {data.name} has {source.num_classes}; use 0")
    return source


def usual_split(data: DataConfig) -> str:
    """The split to use if none is named: the training split, or all of a user's own videos if they have no splits."""
    spec = DATASETS.find(data.name)
    if not spec.any_videos:
        return data.train_split
    root, splits = find_root(spec, data, data.train_split), (data.train_split, data.eval_split)
    return data.train_split if records.find(root) or all(place_of(root, split) for split in splits) else ALL


def open_videos(data: DataConfig, split: str) -> VideoSource:
    """Open the whole videos of one split with all their annotations, to be written as records.

    Raises:
      DataError: see `open_source`.
    """
    spec = DATASETS.find(data.name)
    if spec.open_videos is None:
        return open_source(data, split, NOTHING)
    root = find_root(spec, data, split)
    return _with_checksums(spec.open_videos(root, split), root, data)


def _with_checksums(source: VideoSource, root: str, data: DataConfig) -> VideoSource:
    """Give a source the list of checksums that its files are compared with, if there is one."""
    source.checksums = find_checksums(root, data)
    if source.checksums:
        warn_of_unlisted(source.checksums, source.files())
    return source


def find_root(spec: DatasetSpec, data: DataConfig, split: str) -> str:
    """The absolute path of a data set's root, or of its local copy if it is in a bucket.

    For a data set that needs no root, data.root is returned unchanged.

    Raises:
      DataError: when the root is missing or empty, or is a file where the data set needs a folder, or is in a bucket
        and data.stage names no folder for a copy.
    """
    root = data.root
    if not spec.needs_root:
        return root
    if in_bucket(root):
        if not data.stage:
            raise DataError(
                f"data.root={root} is in a bucket: set --config.data.stage=DIR to a local folder with room for a copy "
                "of it on every host, or mount the bucket (gcsfuse) and set data.root to the mounted folder"
            )
        root = _staged_once(root, data.stage)
    if not root:
        raise DataError("data.root is empty; set --config.data.root=DIR to the folder of your videos")
    folder = os.path.abspath(os.path.expanduser(root))
    if spec.any_videos and os.path.isfile(folder):
        return folder
    if not os.path.isdir(folder):
        near = nearest_path(root)
        remedy = f"did you mean {near}?" if near else "create it or set --config.data.root=DIR"
        raise DataError(f"data.root={root} is not a folder; {remedy}")
    if not os.listdir(folder):
        raise DataError(f"data.root={root} is an empty folder; put {split}/<class>/<video> or {split}.csv there")
    return folder


@functools.cache
def _staged_once(address: str, folder: str) -> str:
    """Copy once for all splits of a process; a second copy could replace files that are being read."""
    return staged(address, folder)


def check_annotation(name: str, spec: DatasetSpec, annotation: str) -> None:
    """Reject a data set whose rows do not carry an annotation.

    Args:
      name: the `data.name` of the data set.

    Raises:
      DataError: naming the annotations of its rows, and the data sets that carry the one asked for.
    """
    if annotation == NOTHING or annotation in spec.annotations:
        return
    carried = " or ".join(spec.annotations)
    if annotation == LABEL:
        raise DataError(
            f"data.name={name} has {carried} instead of one class per video; set config.task to a task that learns "
            "from these"
        )
    able = ", ".join(other for other, spec in DATASETS.items() if annotation in spec.annotations)
    raise DataError(f"rows of data.name={name} carry {carried}, not {annotation}; data sets with {annotation}: {able}")
