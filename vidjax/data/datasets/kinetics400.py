"""Kinetics-400 (Kay et al. 2017): 400 classes of 10-second YouTube clips, about 240k train, 20k val, 39k test.

On disk, either the official annotations (columns label, youtube_id, time_start, time_end, split) beside the clips

    root/annotations/[kinetics_]{train,val,test}.csv   or   root/{train,val,test}.csv
    root/{train,val,test}/[<class>/]<youtube_id>_<start:06d>_<end:06d>.mp4

or class folders, or lists as in the VideoMAE repository (`sources.root_layouts`). Classes are numbered in alphabetical
order, as in the published models.
"""

from __future__ import annotations

import csv
import os

from vidjax.data.datasets import DatasetSpec
from vidjax.data.sources.official_lists import Listing, first_existing, videos_by_stem
from vidjax.errors import DataError

TITLE = "Kinetics-400"
_ALIASES = {"val": ("val", "validate", "validation"), "validation": ("val", "validate", "validation")}
_COLUMNS = {"label", "youtube_id", "time_start", "time_end"}


def find_annotations(root: str, split: str) -> str | None:
    """Return the official annotation file of the split, if `root` has one."""
    for name in _ALIASES.get(split, (split,)):
        path = first_existing(root, f"annotations/{name}.csv", f"annotations/kinetics_{name}.csv", f"{name}.csv")
        if path and set(_header(path)) >= _COLUMNS:
            return path
    return None


def listing(root: str, split: str, title: str = TITLE) -> Listing:
    """List the videos of a split, including missing ones; Kinetics-600 and -700 have the same layout.

    Raises:
      DataError: if the annotations are absent or malformed.
    """
    path = find_annotations(root, split)
    if path is None:
        raise DataError(
            f"{title}: no annotations/{split}.csv with the columns {', '.join(sorted(_COLUMNS))} under {root}"
        )
    rows = _rows(path)
    names = _label_names(root)
    number = {name: i for i, name in enumerate(names)}
    listed = [(_stem(row, path), number[_plain(row["label"])]) for row in rows]
    folders = [os.path.join(root, name) for name in _ALIASES.get(split, (split,))]
    folder = next((f for f in folders if os.path.isdir(f)), root)
    return Listing(title, split, listed, names, videos_by_stem([folder]), folder, ".mp4")


DATASET = DatasetSpec(
    title=TITLE,
    layout="annotations/{train,val}.csv and {train,val}/[<class>/]<youtube_id>_<start>_<end>.mp4",
    num_classes=400,
    protocol={  # VideoMAE, section 4 and the published fine-tuning scripts
        "data": {"num_frames": 16, "stride": 4, "sampling": "dense_span", "flip": 0.5},
        "eval": {"clips": 5, "crops": 3, "merge": "mean_softmax"},
    },
    find_annotations=find_annotations,
    listing=listing,
    # `videos`, the published counts, is left out: clips vanish from the web, so every copy has a different number.
)


def _header(path: str) -> list[str]:
    with open(path, newline="", encoding="utf-8") as file:
        return next(csv.reader(file), [])


def _rows(path: str) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _label_names(root: str) -> tuple[str, ...]:
    """The class names of all labelled splits together, so that a small split does not shift the numbers."""
    paths = {path for split in ("train", "val", "test") if (path := find_annotations(root, split))}
    return tuple(sorted({_plain(row["label"]) for path in paths for row in _rows(path)}))


def _plain(label: str) -> str:
    return label.strip().strip('"').replace("_", " ")


def _stem(row: dict[str, str], path: str) -> str:
    try:
        return f"{row['youtube_id']}_{int(float(row['time_start'])):06d}_{int(float(row['time_end'])):06d}"
    except ValueError as error:
        raise DataError(f"{path}: the times of {row['youtube_id']!r} are not numbers: {error}") from error
