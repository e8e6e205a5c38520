"""UCF101 (Soomro et al. 2012): 101 classes, 13,320 clips, three train/test folds; fold 1 is the usual one.

On disk, as distributed:

    root/ucfTrainTestlist/{classInd,trainlist01,testlist01,...}.txt      (or the lists in root itself)
    root/[UCF-101/]<Class>/v_<Class>_g01_c01.avi

Splits `train`, `val` and `test` are fold 1 (val is its test list); `train02`, `test03` and so on name another fold.
Labels are the numbers in classInd.txt minus 1.
"""

from __future__ import annotations

import os
import re

from vidjax.data.datasets import DatasetSpec
from vidjax.data.sources.official_lists import Listing, first_existing, videos_by_stem
from vidjax.errors import DataError

TITLE = "UCF101"


def find_annotations(root: str, split: str) -> str | None:
    """Return the official list of the split, if `root` has one."""
    match = re.fullmatch(r"(train|val|test)(0[1-3])?", split)
    if match is None:
        return None
    kind, fold = "train" if match[1] == "train" else "test", match[2] or "01"
    return _file(root, f"{kind}list{fold}.txt")


def listing(root: str, split: str) -> Listing:
    """List the videos of a split, including missing ones.

    Raises:
      DataError: if the annotations are absent or malformed.
    """
    path, classes = find_annotations(root, split), _file(root, "classInd.txt")
    if path is None or classes is None:
        raise DataError(
            f"{TITLE}: no classInd.txt or no list of split {split!r} under {root}/ucfTrainTestlist; "
            "splits are train, val and test for fold 1, and train02, test03 and so on for the other folds"
        )
    numbers = _label_map(classes)
    listed = []
    for line in _lines(path):
        name, _, file = line.split()[0].partition("/")
        if name not in numbers or not file:
            raise DataError(f"{path}: {line!r} is not <Class>/<file> with a class in classInd.txt")
        listed.append((os.path.splitext(file)[0], numbers[name]))
    names = tuple(sorted(numbers, key=numbers.__getitem__))
    return Listing(TITLE, split, listed, names, videos_by_stem([root]), root, ".avi")


DATASET = DatasetSpec(
    title=TITLE,
    layout="ucfTrainTestlist/{classInd,trainlist01,testlist01}.txt and UCF-101/<Class>/<clip>.avi",
    num_classes=101,
    videos={"train": 9_537, "val": 3_783, "test": 3_783},
    protocol={  # VideoMAE, section 4 and the published fine-tuning script
        "data": {"num_frames": 16, "stride": 4, "sampling": "dense_span", "flip": 0.5},
        "eval": {"clips": 5, "crops": 3, "merge": "mean_softmax"},
    },
    find_annotations=find_annotations,
    listing=listing,
)


def _file(root: str, name: str) -> str | None:
    return first_existing(root, f"ucfTrainTestlist/{name}", name)


def _lines(path: str) -> list[str]:
    with open(path, encoding="utf-8") as file:
        return [line.strip() for line in file if line.strip()]


def _label_map(path: str) -> dict[str, int]:
    """Read classInd.txt (`1 ApplyEyeMakeup`), checking that it numbers its classes 1, 2, 3, ... without gaps."""
    try:
        numbers = {name: int(number) - 1 for number, name in (line.split() for line in _lines(path))}
    except ValueError as error:
        raise DataError(f"{path}: lines must be `<number> <Class>`: {error}") from error
    if sorted(numbers.values()) != list(range(len(numbers))):
        raise DataError(f"{path} does not number its {len(numbers)} classes 1 to {len(numbers)}, each once")
    return numbers
