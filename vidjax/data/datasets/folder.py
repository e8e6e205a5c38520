"""A user's own videos: any folder or list, with or without classes; `own_videos` makes splits if it has none."""

from __future__ import annotations

from vidjax.config import DataConfig
from vidjax.data.datasets import DatasetSpec
from vidjax.data.sources import inventory as inventories
from vidjax.data.sources import records
from vidjax.data.sources.annotations import CAPTIONS, INTERVALS, LABEL
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.inventory import Inventory
from vidjax.data.sources.own_rows import open_own_videos
from vidjax.data.sources.root_layouts import open_records, warn_of_unseen_classes


def open_split(root: str, split: str, data: DataConfig, annotation: str) -> VideoSource:
    """Open a split of prepared records, or of the videos of a folder or a list.

    Raises:
      DataError: when there are no videos, or they do not carry the annotation.
    """
    if records.find(root) is not None:
        return open_records(root, split, data, annotation)
    source = open_own_videos(root, split, data, annotation)
    if annotation == LABEL:
        warn_of_unseen_classes(source, split, data)
    return source


def inventory(root: str, split: str, data: DataConfig) -> Inventory:
    """List what `open_split` opens, including missing videos.

    Raises:
      DataError: when there are no videos, or lists are malformed.
    """
    folder = records.find(root)
    if folder is None:
        return inventories.of_own_videos(root, split, data)
    return inventories.of_records(folder, split)


DATASET = DatasetSpec(
    title="videos of your own",
    layout="videos in any folders, <class>/<video>, <split>/<class>/<video>, lists of videos, or prepared records",
    annotations=(LABEL, INTERVALS, CAPTIONS),
    any_videos=True,
    open_split=open_split,
    inventory=inventory,
)
