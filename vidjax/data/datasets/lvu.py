"""LVU (Wu and Krähenbühl, CVPR 2021): nine tasks on film clips that last minutes, seven with classes, two with numbers.

On disk, the authors' lists, with columns separated by spaces, and the clips, which are on YouTube:

    root/[lvu_1.0/]<task>/{train,val,test}.csv
    root/<any folder>/<youtube_id>.mp4

Splits are `train_<task>`, `val_<task>` and `test_<task>`. The tasks relationship, way_speaking, scene, director, genre,
writer and year have classes, numbered as in the lists, which leave some of the ten directors and writers unused.
like_ratio and view_count have a number, computed from the counts in the lists as their authors do (`NUMBERS`).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from vidjax.config import DataConfig
from vidjax.data.datasets import DatasetSpec
from vidjax.data.sources import inventory as inventories
from vidjax.data.sources import records
from vidjax.data.sources.annotated_videos import (
    AnnotatedVideo,
    AnnotatedVideos,
    locate_videos,
    read_annotated_videos,
)
from vidjax.data.sources.annotations import LABEL, NOTHING, TARGET
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.in_memory import InMemorySource
from vidjax.data.sources.inventory import Inventory, Listed
from vidjax.data.sources.official_lists import Listing, first_existing, videos_by_stem
from vidjax.data.sources.root_layouts import open_classes
from vidjax.data.sources.rows import Row
from vidjax.errors import DataError

TITLE = "LVU"
# The number of classes per task, as in VideoMamba's datasets/build.py:254.
CLASSES = {"relationship": 4, "way_speaking": 5, "scene": 6, "director": 10, "genre": 4, "writer": 10, "year": 9}


def like_ratio(likes: int, dislikes: int) -> float:
    """Ten times the share of likes among ratings, minus the authors' mean (their video_data_helper.py:96,99)."""
    return 10.0 * likes / (likes + dislikes) - 9.138220535629456


def view_count(views: int) -> float:
    """The natural logarithm of the views, minus the authors' mean (their src/data/video_data_helper.py:89,92)."""
    return math.log(views) - 11.76425435683139


# For each task, the columns of counts in its lists, and the function that turns these counts into its number.
NUMBERS: dict[str, tuple[tuple[str, ...], Callable[..., float]]] = {
    "like_ratio": (("like_count", "dislike_count"), like_ratio),
    "view_count": (("view_count",), view_count),
}
TASKS = (*CLASSES, *NUMBERS)
_VIDEO = ("youtube_id", "imdb_id")  # the last columns of every list


def find_annotations(root: str, split: str) -> str | None:
    """Return the list of a split, if `root` has one."""
    part, _, task = split.partition("_")
    if part not in ("train", "val", "test") or task not in TASKS:
        return None
    return first_existing(root, f"lvu_1.0/{task}/{part}.csv", f"{task}/{part}.csv")


def listing(root: str, split: str) -> Listing:
    """List the videos of a split with classes, including missing ones.

    Raises:
      DataError: if the list is absent or malformed.
    """
    rows, task = _read_classes(root, split), _task(split)
    names = [f"class {number}" for number in range(CLASSES[task])]
    for part in ("train", "val", "test"):
        if find_annotations(root, f"{part}_{task}"):
            for number, name, _ in _read_classes(root, f"{part}_{task}"):
                names[number] = name
    listed = [(video, number) for number, _, video in rows]
    return Listing(TITLE, split, listed, tuple(names), videos_by_stem([root]), root, ".mp4")


def open_split(root: str, split: str, data: DataConfig, annotation: str) -> VideoSource:
    """Open the videos of a split, each with the class or the number of the split's task.

    Raises:
      DataError: if the list is absent or malformed, or no video exists.
    """
    del annotation
    if _task(split) not in NUMBERS:
        return open_classes(DATASET, root, split, data)
    whole = locate_videos(_listed(root, split), TITLE, root, split, ".mp4")
    rows = [Row(video.video, 0, video.id, target=(video.about["number"],)) for video in whole.videos]
    return InMemorySource(whole.name, rows, annotation=TARGET, labels=(_task(split),))


def open_videos(root: str, split: str) -> VideoSource:
    """Open the videos of a split to store them, with classes or numbers; missing ones are handled as by `open_split`.

    Raises:
      DataError: as `open_split`.
    """
    if _task(split) not in NUMBERS:
        return open_classes(DATASET, root, split, DataConfig(name="lvu", root=root), NOTHING)
    return locate_videos(_listed(root, split), TITLE, root, split, ".mp4")


def inventory(root: str, split: str) -> Inventory:
    """List every video of a split, including missing ones, with its class if the task has classes.

    Raises:
      DataError: if the list is absent or malformed.
    """
    if _task(split) not in NUMBERS:
        folder = records.find(root)
        return inventories.of_records(folder, split) if folder else inventories.of_listing(listing(root, split))
    whole = _listed(root, split)
    numbers = [video.about["number"] for video in whole.videos]
    spread = (
        f"{_task(split)} ranges from {min(numbers):.3f} to {max(numbers):.3f}, mean {sum(numbers) / len(numbers):.3f}"
    )
    return Inventory([Listed(video.id, video.video, ()) for video in whole.videos], (), notes=[spread])


DATASET = DatasetSpec(
    title=TITLE,
    layout="[lvu_1.0/]<task>/{train,val,test}.csv and <youtube_id>.mp4 in any folder",
    annotations=(LABEL, TARGET),
    splits=tuple(f"{part}_{task}" for task in CLASSES for part in ("train", "val", "test")),
    target_names=("like_ratio or view_count",),  # one number, which depends on the split
    protocol={  # VideoMamba's: frames spread over the whole clip, 4 x 3 views
        "data": {"num_frames": 32, "sampling": "segment_rounded", "flip": 0.5},
        "eval": {"clips": 4, "crops": 3, "merge": "mean_softmax"},
    },
    find_annotations=find_annotations,
    listing=listing,
    open_split=open_split,
    open_videos=open_videos,
    inventory=inventory,
)


def _task(split: str) -> str:
    return split.partition("_")[2]


def _read(root: str, split: str, columns: tuple[str, ...]) -> list[tuple[str, list[str]]]:
    """The lines of a list, split into words, each with its location for messages.

    Raises:
      DataError: if there is no list, it lists no videos, its header is not `columns`, or a line has a different number
        of words.
    """
    path = find_annotations(root, split)
    if path is None:
        raise DataError(
            f"{TITLE}: no list of the split {split!r} under {root} or {root}/lvu_1.0; splits are train_<task>, "
            f"val_<task> and test_<task> for the tasks {', '.join(TASKS)}"
        )
    with open(path, encoding="utf-8") as file:
        lines = [line.split() for line in file]
    if not lines or lines[0] != list(columns):
        raise DataError(f"{path} does not begin with {' '.join(columns)!r}; restore the authors' list")
    if len(lines) == 1:
        raise DataError(f"{path} lists no videos; restore the authors' list")
    placed = [(f"{path}, line {number}", line) for number, line in enumerate(lines[1:], 2)]
    for place, line in placed:
        if len(line) != len(columns):
            raise DataError(f"{place}: expected {' '.join(columns)!r}")
    return placed


def _read_classes(root: str, split: str) -> list[tuple[int, str, str]]:
    """Class number, class name and video of each line of a list."""
    classes, rows = CLASSES.get(_task(split), 0), []
    for place, (number, name, video, _) in _read(root, split, ("class_id", "class_name", *_VIDEO)):
        if not number.isdecimal() or int(number) >= classes:
            raise DataError(f"{place}: class_id {number!r} is not a class from 0 to {classes - 1}")
        rows.append((int(number), name, video))
    return rows


def _listed(root: str, split: str) -> AnnotatedVideos:
    """The videos of a split whose task has numbers, from records or from a list, including missing ones."""
    folder = records.find(root)
    if folder:
        return read_annotated_videos(folder, split, "lvu")
    counts, number_of = NUMBERS[_task(split)]
    numbers = {}
    for place, (*words, video, _) in _read(root, split, (*counts, *_VIDEO)):
        if not all(word.isdecimal() for word in words) or not sum(map(int, words)):
            raise DataError(f"{place}: {' and '.join(counts)} must be whole numbers, not all 0")
        numbers[video] = number_of(*map(int, words))
    order = [(video, place) for place, video in enumerate(numbers)]
    found = Listing(TITLE, split, order, (), videos_by_stem([root]), root, ".mp4")
    videos = [
        AnnotatedVideo(name, path, {"number": numbers[name]})
        for (name, _), (path, _) in zip(order, found.paths(), strict=True)
    ]
    return AnnotatedVideos(f"lvu/{split}", videos, tuple(NUMBERS))
