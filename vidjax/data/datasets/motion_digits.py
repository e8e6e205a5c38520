"""Built-in videos of handwritten digits that hardly move, for learning what is shown; written when first opened."""

from __future__ import annotations

import os

from vidjax.config import DataConfig
from vidjax.data import motion_videos
from vidjax.data.datasets import DatasetSpec
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.root_layouts import open_classes


def open_split(root: str, split: str, data: DataConfig, annotation: str) -> VideoSource:
    """Open `train`, `val` or `test`; if root is empty, a folder in the cache is used."""
    del annotation
    folder = os.path.abspath(motion_videos.prepare(root, motion_videos.DIGITS))
    return open_classes(DATASET, folder, split, data)


DATASET = DatasetSpec(
    title="motion digits",
    layout="{train,val,test}/<class>/<id>.mp4",
    num_classes=len(motion_videos.CLASSES),
    needs_root=False,
    open_split=open_split,
)
