"""HMDB51 (Kuehne et al. 2011): 51 classes, 6,766 clips from films, three folds of 70 + 30 clips per class.

On disk, as distributed and unpacked:

    root/testTrainMulti_7030_splits/<class>_test_split{1,2,3}.txt    (or the lists in root/splits or root itself)
    root/[videos/]<class>/<name>.avi

A line ends in 1 for training, 2 for test, 0 for neither: `<name>.avi 1`. Splits train, val and test are fold 1 (val is
its test list); `train02`, `test03` and so on name another fold. Classes are numbered in alphabetical order.
"""

from __future__ import annotations

import glob
import os
import re

from vidjax.data.datasets import DatasetSpec
from vidjax.data.sources.official_lists import Listing, videos_by_stem
from vidjax.errors import DataError

TITLE = "HMDB51"
_FOLDERS = ("testTrainMulti_7030_splits", "splits", "")
_WANTED = {"train": "1", "val": "2", "test": "2"}


def find_annotations(root: str, split: str) -> str | None:
    """Return the folder with the official lists of the split, if `root` has one."""
    match = re.fullmatch(r"(train|val|test)(?:0([1-3]))?", split)
    if match is None:
        return None
    places = (os.path.join(root, folder) for folder in _FOLDERS)
    return next((place for place in places if _lists(place, match[2] or "1")), None)


def listing(root: str, split: str) -> Listing:
    """List the videos of a split's fold, including missing ones.

    Raises:
      DataError: if the lists are absent or malformed.
    """
    place = find_annotations(root, split)
    if place is None:
        raise DataError(
            f"{TITLE}: no <class>_test_split<fold>.txt of split {split!r} under {root}/{_FOLDERS[0]}; "
            "splits are train, val and test for fold 1, and train02, test03 and so on for the other folds"
        )
    wanted, fold = _WANTED[split.rstrip("0123")], split[-1] if split[-1].isdigit() else "1"
    lists = _lists(place, fold)
    names = tuple(sorted(lists))
    listed = []
    for label, name in enumerate(names):
        for number, line in enumerate(_lines(lists[name]), 1):
            parts = line.split()
            if len(parts) != 2 or parts[1] not in ("0", "1", "2"):
                raise DataError(f"{lists[name]}, line {number}: {line!r} is not `<name>.avi` and 0, 1 or 2")
            if parts[1] == wanted:
                listed.append((os.path.splitext(parts[0])[0], label))
    return Listing(TITLE, split, listed, names, videos_by_stem([root]), root, ".avi")


DATASET = DatasetSpec(
    title=TITLE,
    layout="testTrainMulti_7030_splits/<class>_test_split{1,2,3}.txt and <class>/<name>.avi",
    num_classes=51,
    videos={"train": 3_570, "val": 1_530, "test": 1_530},
    protocol={  # VideoMAE, section 4
        "data": {"num_frames": 16, "stride": 2, "sampling": "dense_span", "flip": 0.5},
        "eval": {"clips": 10, "crops": 3, "merge": "mean_softmax"},
    },
    find_annotations=find_annotations,
    listing=listing,
)


def _lists(place: str, fold: str) -> dict[str, str]:
    """The path of the list of each class."""
    ending = f"_test_split{fold}.txt"
    found = glob.glob(os.path.join(glob.escape(place), f"*{ending}"))
    return {os.path.basename(path).removesuffix(ending): path for path in found}


def _lines(path: str) -> list[str]:
    with open(path, encoding="utf-8") as file:
        return [line.strip() for line in file if line.strip()]
