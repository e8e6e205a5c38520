"""Something-Something V2 (Goyal et al. 2017): 174 templates of acted hand motions; 168,913 train, 24,777 validation.

On disk, as distributed (the annotations may also be in `root` itself or in root/annotations):

    root/labels/{labels,train,validation,test}.json   or   root/labels/something-something-v2-{labels,train,...}.json
    root/labels/test-answers.csv                      (id;template; needed to score the test split)
    root/20bn-something-something-v2/<id>.webm        (or any other folder under root)

Labels are the numbers in labels.json. Templates distinguish left from right, so the protocol below has no mirrored
clips.
"""

from __future__ import annotations

import json
import os
import re

from vidjax.data.datasets import DatasetSpec
from vidjax.data.sources.official_lists import Listing, first_existing, videos_by_stem
from vidjax.errors import DataError

TITLE = "Something-Something V2"
_FOLDERS = ("labels/", "", "annotations/")
_SPLITS = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}


def find_annotations(root: str, split: str) -> str | None:
    """Return the official annotation file of the split, if `root` has one."""
    return _file(root, f"{_SPLITS.get(split, split)}.json")


def listing(root: str, split: str) -> Listing:
    """List the videos of a split, including missing ones.

    Raises:
      DataError: if the annotations are absent or malformed.
    """
    numbers = _label_map(root)
    names = tuple(sorted(numbers, key=numbers.__getitem__))
    path = find_annotations(root, split)
    if path is None:
        raise DataError(f"{TITLE}: no {_SPLITS.get(split, split)}.json in {_places(root)}")
    answers = _answers(root) if split == "test" else {}
    listed = []
    for row in _load(path):
        try:
            template = answers[row["id"]] if answers else row["template"]
            listed.append((str(row["id"]), numbers[_plain(template)]))
        except (AttributeError, KeyError, TypeError) as error:
            raise DataError(f"{path}: the label of {row} cannot be determined: {error!r}") from error
    return Listing(TITLE, split, listed, names, videos_by_stem([root]), root, ".webm")


DATASET = DatasetSpec(
    title=TITLE,
    layout="labels/{labels,train,validation}.json and 20bn-something-something-v2/<id>.webm",
    num_classes=174,
    videos={"train": 168_913, "val": 24_777, "test": 27_157},
    protocol={  # VideoMAE, section 4; pre-training uses windows of stride 2 instead of segments
        "data": {"num_frames": 16, "sampling": "segment_integer", "flip": 0.0},
        "eval": {"clips": 2, "crops": 3, "merge": "mean_softmax"},
    },
    find_annotations=find_annotations,
    listing=listing,
)


def _file(root: str, name: str) -> str | None:
    names = (name, f"something-something-v2-{name}")
    return first_existing(root, *(f"{folder}{n}" for folder in _FOLDERS for n in names))


def _places(root: str) -> str:
    return " or ".join(os.path.join(root, folder) for folder in _FOLDERS)


def _load(path: str):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error


def _label_map(root: str) -> dict[str, int]:
    """Read labels.json, checking that it numbers its templates 0, 1, 2, ... without gaps."""
    path = _file(root, "labels.json")
    if path is None:
        raise DataError(f"{TITLE}: no labels.json in {_places(root)}")
    try:
        numbers = {_plain(template): int(number) for template, number in _load(path).items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not a JSON object of templates and their numbers: {error!r}") from error
    if sorted(numbers.values()) != list(range(len(numbers))):
        raise DataError(f"{path} does not number its {len(numbers)} templates 0 to {len(numbers) - 1}, each once")
    return numbers


def _answers(root: str) -> dict[str, str]:
    path = _file(root, "test-answers.csv")
    if path is None:
        raise DataError(f"{TITLE}: the labels of the test split need test-answers.csv; it is not in {_places(root)}")
    with open(path, encoding="utf-8") as file:
        return dict(re.split("[;,]", line.strip(), maxsplit=1) for line in file if line.strip())


def _plain(template: str) -> str:
    """A template as in labels.json, without the brackets around its placeholders."""
    return template.replace("[", "").replace("]", "").strip()
