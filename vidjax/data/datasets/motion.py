"""The built-in motion videos with classes, velocities, actions and captions, and long videos of several motions.

Splits are `train`, `val` for choosing a recipe, and `test` for scoring it once; for intervals, `long_train` and
`long_val`, or `long` for both together. Of the handwritten digits set aside for long videos, `long_train` has the first
three quarters and `long_val` the rest. Otherwise, no handwritten digit is in two splits.
"""

from __future__ import annotations

import os

from vidjax.config import DataConfig
from vidjax.data import motion_videos
from vidjax.data.datasets import DatasetSpec
from vidjax.data.sources.annotation_checks import check_intervals
from vidjax.data.sources.annotations import ACTION, CAPTIONS, INTERVALS, LABEL, TARGET
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.in_memory import InMemorySource
from vidjax.data.sources.root_layouts import open_classes
from vidjax.data.sources.rows import Row
from vidjax.errors import DataError

TARGETS = ("velocity_right", "velocity_down")
DIGITS = tuple(map(str, range(10)))  # the nouns of actions, whose verbs are the motions
LONG = motion_videos.MotionSpec(train_videos=0, val_videos=0, test_videos=0, long_videos=640)
SPLITS = ("train", "val", "test", "long", "long_train", "long_val")
_HELD_OUT = 1750  # the first row of scikit-learn's digits in long_val


def open_split(root: str, split: str, data: DataConfig, annotation: str) -> VideoSource:
    """Open a split, writing its videos if they do not exist.

    Args:
      root: the folder of the videos; empty for one in the cache.

    Raises:
      DataError: for intervals of a short split; for classes, velocities or actions of a long one; for an unknown split;
        or when the folder holds something else.
    """
    folder = write_videos(root, split)
    return open_classes(DATASET, folder, split, data) if annotation == LABEL else read_split(folder, split, annotation)


def write_videos(root: str, split: str) -> str:
    """Return the folder with the videos of a split, after writing them if they do not exist."""
    spec = LONG if split.startswith("long") else motion_videos.MotionSpec()
    return os.path.abspath(motion_videos.prepare(root, spec))


def read_split(folder: str, split: str, annotation: str) -> InMemorySource:
    """Read velocities (right, down, as fractions of the fastest), actions, intervals or captions of a split.

    Raises:
      DataError: as `open_split`.
    """
    if split not in SPLITS:
        raise DataError(f"motion has no split {split!r}; it has {', '.join(SPLITS)}")
    kind = split.split("_")[0]
    if (annotation == INTERVALS) != (kind == "long") and annotation != CAPTIONS:
        where = "long_train and long_val" if annotation == INTERVALS else "train and val (or test)"
        raise DataError(
            f"the motion split {split!r} has no {annotation}; set data.train_split and data.eval_split to {where}"
        )
    rows = [
        _row(folder, about, annotation)
        for about in motion_videos.annotations(folder)
        if about["split"] == kind and (kind != "long" or is_in(split, about["id"]))
    ]
    names = {TARGET: TARGETS, ACTION: (*DIGITS, *motion_videos.CLASSES), INTERVALS: motion_videos.CLASSES}
    labels = names.get(annotation)
    source = InMemorySource(f"motion/{split}", rows, annotation=annotation, labels=labels)
    for row in rows:
        check_intervals(row, len(motion_videos.CLASSES))
    return source


DATASET = DatasetSpec(
    title="motion",
    layout="{train,val,test}/<class>/<id>.mp4, long/<id>.mp4 and annotations.jsonl",
    annotations=(LABEL, TARGET, ACTION, INTERVALS, CAPTIONS),
    num_classes=len(motion_videos.CLASSES),
    target_names=TARGETS,
    needs_root=False,
    open_split=open_split,
)


def _row(folder: str, about: dict, annotation: str) -> Row:
    intervals = tuple(
        (part["start"], part["end"], motion_videos.CLASSES.index(part["class"])) for part in about.get("intervals", ())
    )
    return Row(
        os.path.join(folder, about["video"]),
        0,
        about["id"],
        target=tuple(about["velocity"]) if annotation == TARGET else (),
        action=(about["digit"], motion_videos.CLASSES.index(about["class"])) if annotation == ACTION else (),
        intervals=intervals,
        captions=(about["caption"],),
        duration=about["frames"] / about["fps"],
        group=f"handwriting {_glyph(about['id'])}",
    )


def is_in(split: str, name: str) -> bool:
    """Whether a long video belongs to a split, as determined by its handwriting."""
    return split == "long" or (_glyph(name) >= _HELD_OUT) == (split == "long_val")


def _glyph(name: str) -> int:
    """The row of scikit-learn's handwritten digits that a video shows."""
    kind, row = name.rsplit("_", 1)
    return motion_videos.draw_clip(LONG if kind == "long" else motion_videos.MotionSpec(), kind, int(row)).glyph
