"""COIN (Tang et al. 2019): 11,827 instructional videos of 180 tasks in 12 domains.

On disk, as the official repository and its download script leave them:

    root/[annotations/]COIN.json            {"database": {<id>: {"class", "subset", "duration", ...}}}
    root/[annotations/]taxonomy.csv         lines `domain,task`: the first sheet of taxonomy.xlsx; only for coin_domains
    root/videos/<recipe_type>/<id>.mp4      (or any other folder under root)

`data.name=coin` has the tasks as classes; `coin_domains` has the domains, for videos of 10 to 60 seconds. Splits are
train (the subset `training`), and val or test (the subset `testing`); classes are numbered in alphabetical order.
"""

from __future__ import annotations

import csv
import json

from vidjax.data.datasets import DatasetSpec
from vidjax.data.sources.official_lists import Listing, first_existing, videos_by_stem
from vidjax.errors import DataError

TITLE = "COIN"
_SUBSETS = {"train": "training", "val": "testing", "test": "testing"}


def find_annotations(root: str, split: str) -> str | None:
    """Return the official annotation file, if `root` has one and the split exists."""
    return _file(root, "COIN.json") if split in _SUBSETS else None


def listing(root: str, split: str) -> Listing:
    """List the videos of a split by task, including missing ones.

    Raises:
      DataError: if the annotations are absent or malformed.
    """
    videos = read(root, split)
    return place(root, split, [(name, about["class"]) for name, about in videos.items()], _tasks(root))


DATASET = DatasetSpec(
    title=TITLE,
    layout="COIN.json and videos/<recipe_type>/<id>.mp4",
    num_classes=180,
    videos={"train": 9_030, "val": 2_797, "test": 2_797},
    protocol={  # VideoMamba's COIN: frames spread over the whole video, 10 x 3 views
        "data": {"num_frames": 64, "sampling": "segment", "flip": 0.5},
        "eval": {"clips": 10, "crops": 3, "merge": "mean_softmax"},
    },
    find_annotations=find_annotations,
    listing=listing,
)


def domains(root: str, split: str, seconds: tuple[float, float]) -> Listing:
    """List the videos of a split within a range of lengths, by domain.

    Raises:
      DataError: as `listing`, and if taxonomy.csv is absent or lacks a task.
    """
    path = _file(root, "taxonomy.csv")
    if path is None:
        raise DataError(f"{TITLE}: no taxonomy.csv with lines `domain,task` under {root} (save taxonomy.xlsx as CSV)")
    with open(path, newline="", encoding="utf-8") as file:
        domain_of = {line[1].strip(): line[0].strip() for line in csv.reader(file) if len(line) > 1}
    listed = []
    for name, about in read(root, split).items():
        if about["class"] not in domain_of:
            raise DataError(f"{path} has no line for the task {about['class']!r} of video {name}")
        if seconds[0] <= about["duration"] <= seconds[1]:
            listed.append((name, domain_of[about["class"]]))
    return place(root, split, listed, sorted({domain_of[task] for task in _tasks(root)}))


def read(root: str, split: str) -> dict[str, dict]:
    """The annotations of a split's videos by id, each with class and duration."""
    path = find_annotations(root, split)
    if path is None:
        raise DataError(f"{TITLE}: no COIN.json under {root} or {root}/annotations, or it has no split {split!r}")
    return {name: about for name, about in _database(path).items() if about["subset"] == _SUBSETS[split]}


def place(root: str, split: str, listed: list[tuple[str, str]], names: list[str]) -> Listing:
    """Number the classes of videos, and find the files."""
    number = {name: label for label, name in enumerate(names)}
    rows = [(name, number[label]) for name, label in listed]
    return Listing(TITLE, split, rows, tuple(names), videos_by_stem([root]), root, ".mp4")


def _tasks(root: str) -> list[str]:
    path = _file(root, "COIN.json")
    return sorted({about["class"] for about in _database(path).values()}) if path else []


def _database(path: str) -> dict[str, dict]:
    try:
        with open(path, encoding="utf-8") as file:
            database = json.load(file)["database"]
        for name, about in database.items():
            about["class"], about["duration"] = str(about["class"]), float(about["duration"])
            if about["subset"] not in _SUBSETS.values():
                raise DataError(f"{path}: video {name} is in the subset {about['subset']!r}, not training or testing")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is not the annotation of {TITLE}: {type(error).__name__} {error}") from error
    return database


def _file(root: str, name: str) -> str | None:
    return first_existing(root, name, f"annotations/{name}")
