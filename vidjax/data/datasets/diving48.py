"""Diving48 (Li et al. 2018), version 2 (2020): 48 kinds of competitive dives, which differ only in motion.

On disk, as distributed and unpacked (the annotations may also be in root/annotations):

    root/Diving48_V2_{train,test}.json     [{"vid_name": ..., "label": 0 to 47, "start_frame", "end_frame"}, ...]
    root/Diving48_vocab.json               [["Back", "15som", "05Twis", "FREE"], ...], in the order of the labels
    root/rgb/<vid_name>.mp4                (or any other folder under root)

Splits are train, and val or test (both the test list). A class is named by its four parts: take-off, somersaults,
twists and position.
"""

from __future__ import annotations

import json
from typing import Any

from vidjax.data.datasets import DatasetSpec
from vidjax.data.sources.official_lists import Listing, first_existing, videos_by_stem
from vidjax.errors import DataError

TITLE = "Diving48"
_SPLITS = {"train": "train", "val": "test", "test": "test"}


def find_annotations(root: str, split: str) -> str | None:
    """Return the official list of the split, if `root` has one."""
    return _file(root, f"Diving48_V2_{_SPLITS[split]}.json") if split in _SPLITS else None


def listing(root: str, split: str) -> Listing:
    """List the videos of a split, including missing ones.

    Raises:
      DataError: if the annotations are absent or malformed.
    """
    path, vocabulary = find_annotations(root, split), _file(root, "Diving48_vocab.json")
    if path is None or vocabulary is None:
        raise DataError(
            f"{TITLE}: no Diving48_vocab.json or no Diving48_V2_{_SPLITS.get(split, split)}.json under {root} or "
            f"{root}/annotations; splits are train, val and test"
        )
    names, rows = _names(vocabulary), []
    for row in _load(path):
        try:
            name, label = str(row["vid_name"]), int(row["label"])
        except (TypeError, KeyError, ValueError) as error:
            raise DataError(f"{path}: {row} has no vid_name and label: {error!r}") from error
        if not 0 <= label < len(names):
            raise DataError(f"{path}: the label {label} of {name} is not among the {len(names)} of {vocabulary}")
        rows.append((name, label))
    return Listing(TITLE, split, rows, names, videos_by_stem([root]), root, ".mp4")


DATASET = DatasetSpec(
    title=TITLE,
    layout="Diving48_V2_{train,test}.json, Diving48_vocab.json and rgb/<vid_name>.mp4",
    num_classes=48,
    videos={"train": 15_027, "val": 1_970, "test": 1_970},
    protocol={  # V-JEPA 2's probes, configs/eval/vitl/diving48.yaml
        "data": {"num_frames": 32, "stride": 2, "sampling": "dense_span", "flip": 0.0},
        "eval": {"clips": 4, "crops": 3, "merge": "mean_softmax"},
    },
    find_annotations=find_annotations,
    listing=listing,
)


def _file(root: str, name: str) -> str | None:
    return first_existing(root, name, f"annotations/{name}")


def _load(path: str) -> list[Any]:
    """Read a JSON list."""
    try:
        with open(path, encoding="utf-8") as file:
            tree = json.load(file)
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if not isinstance(tree, list):
        raise DataError(f"{path} should hold a JSON list, but holds {type(tree).__name__}")
    return tree


def _names(path: str) -> tuple[str, ...]:
    parts = _load(path)
    wrong = [entry for entry in parts if not isinstance(entry, list)]
    if wrong:
        raise DataError(f"{path}: {wrong[0]!r} is not the list of a class's parts")
    return tuple(" ".join(map(str, entry)) for entry in parts)
