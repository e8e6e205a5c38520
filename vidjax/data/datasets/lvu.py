"""LVU (Wu and Krähenbühl, CVPR 2021): seven classification tasks of film clips of minutes.

On disk, the authors' lists and the clips, which are on YouTube:

    root/[lvu_1.0/]<task>/{train,val,test}.csv             class_id class_name youtube_id imdb_id, with spaces between
    root/<any folder>/<youtube_id>.mp4

Splits are `train_<task>`, `val_<task>` and `test_<task>` of the tasks relationship, way_speaking, scene, director,
genre, writer and year. Labels are the numbers of the lists, which leave some of director's and writer's ten unused.
like_ratio and view_count are numbers, and are not read.
"""

from __future__ import annotations

from vidjax.data.datasets import DatasetSpec
from vidjax.data.sources.official_lists import Listing, first_existing, videos_by_stem
from vidjax.errors import DataError

TITLE = "LVU"
# Classes of each task, as VideoMamba's datasets/build.py:254 counts them.
TASKS = {"relationship": 4, "way_speaking": 5, "scene": 6, "director": 10, "genre": 4, "writer": 10, "year": 9}
_COLUMNS = ["class_id", "class_name", "youtube_id", "imdb_id"]


def find_annotations(root: str, split: str) -> str | None:
    """Return the list of a split, if `root` has one."""
    part, _, task = split.partition("_")
    if part not in ("train", "val", "test") or task not in TASKS:
        return None
    return first_existing(root, f"lvu_1.0/{task}/{part}.csv", f"{task}/{part}.csv")


def listing(root: str, split: str) -> Listing:
    """List the videos of a split, there or not.

    Raises:
      DataError: if the list is absent or malformed.
    """
    rows, task = _read(root, split), split.partition("_")[2]
    names = [f"class {number}" for number in range(TASKS[task])]
    for part in ("train", "val", "test"):
        if find_annotations(root, f"{part}_{task}"):
            for number, name, _ in _read(root, f"{part}_{task}"):
                names[number] = name
    listed = [(video, number) for number, _, video in rows]
    return Listing(TITLE, split, listed, tuple(names), videos_by_stem([root]), root, ".mp4")


def _read(root: str, split: str) -> list[tuple[int, str, str]]:
    """Class number, class name and video of each line of a list."""
    path = find_annotations(root, split)
    if path is None:
        raise DataError(
            f"{TITLE}: no list of the split {split!r} under {root} or {root}/lvu_1.0; splits are train_<task>, "
            f"val_<task> and test_<task> of the tasks {', '.join(TASKS)}"
        )
    with open(path, encoding="utf-8") as file:
        head, *lines = [line.split() for line in file]
    classes, rows = TASKS[split.partition("_")[2]], []
    if head != _COLUMNS:
        raise DataError(f"{path} does not begin with {' '.join(_COLUMNS)!r}")
    for number, line in enumerate(lines, 2):
        if len(line) != len(_COLUMNS) or not line[0].isdecimal() or int(line[0]) >= classes:
            raise DataError(f"{path}, line {number}: not {' '.join(_COLUMNS)!r} with a class from 0 to {classes - 1}")
        rows.append((int(line[0]), line[1], line[2]))
    return rows


DATASET = DatasetSpec(
    title=TITLE,
    layout="[lvu_1.0/]<task>/{train,val,test}.csv and <youtube_id>.mp4 in any folder",
    splits=tuple(f"{part}_{task}" for task in TASKS for part in ("train", "val", "test")),
    protocol={  # VideoMamba's: frames spread over the whole clip, 4 x 3 views
        "data": {"num_frames": 32, "sampling": "segment_rounded", "flip": 0.5},
        "eval": {"clips": 4, "crops": 3, "merge": "mean_softmax"},
    },
    find_annotations=find_annotations,
    listing=listing,
)
