"""The embedded motion videos for jobs beyond one class: velocities, captions, and long videos of several motions.

Split `long_train` has the long videos whose handwriting is in the first five sixths of those set aside for long
videos, `long_val` the others.
"""

from __future__ import annotations

import os

from vidjax.config import DataConfig
from vidjax.data import motion_videos
from vidjax.data.sources.annotations import check_intervals
from vidjax.data.sources.in_memory import TableSource
from vidjax.data.sources.rows import Row
from vidjax.errors import DataError

TITLE = "motion"
FACTS = ("target", "intervals", "captions")
TARGETS = ("velocity_right", "velocity_down")
LONG = motion_videos.MotionSpec(train_videos=0, val_videos=0, long_videos=640)
_HELD_OUT = 1750  # glyphs from here on are in long_val


def root(folder: str, split: str) -> str:
    """The folder with the split, written if it is not there."""
    return motion_videos.prepare(folder, LONG) if split.startswith("long") else motion_videos.prepare(folder)


def open_split(folder: str, split: str, data: DataConfig, fact: str) -> TableSource:
    """A split with a fact: its velocity (to the right and downwards, as shares of the fastest), intervals or caption.

    Raises:
      DataError: for intervals of a short split, velocities of a long one, or an unknown split.
    """
    del data
    kind = split.split("_")[0]
    if (fact == "intervals") != (kind == "long") and fact != "captions":
        where = "long_train and long_val" if fact == "intervals" else "train and val"
        raise DataError(f"the motion split {split!r} has no {fact}; set data.train_split and eval_split to {where}")
    rows = [
        _row(folder, about, fact)
        for about in motion_videos.annotations(folder)
        if about["split"] == kind and (kind != "long" or _is_in(split, about["id"]))
    ]
    labels = {"target": TARGETS, "intervals": motion_videos.CLASSES}.get(fact)
    source = TableSource(f"motion/{split}", rows, fact=fact, labels=labels)
    for row in rows:
        check_intervals(row, len(motion_videos.CLASSES))
    return source


def _row(folder: str, about: dict, fact: str) -> Row:
    intervals = tuple(
        (part["start"], part["end"], motion_videos.CLASSES.index(part["class"])) for part in about.get("intervals", ())
    )
    return Row(
        os.path.join(folder, about["video"]),
        0,
        about["id"],
        target=tuple(about["velocity"]) if fact == "target" else (),
        intervals=intervals,
        captions=(about["caption"],),
        duration=about["frames"] / about["fps"],
        group=f"handwriting {_glyph(about['id'])}",
    )


def _is_in(split: str, name: str) -> bool:
    return split == "long" or (_glyph(name) >= _HELD_OUT) == (split == "long_val")


def _glyph(name: str) -> int:
    """Which of scikit-learn's handwritten digits a video shows."""
    kind, row = name.rsplit("_", 1)
    return motion_videos.draw_clip(LONG if kind == "long" else motion_videos.MotionSpec(), kind, int(row)).glyph
