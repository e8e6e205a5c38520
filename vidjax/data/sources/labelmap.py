"""The label map of a prepared data set, saved beside the records and checked when they are opened.

TFDS keeps class names in a text file that is easily edited or replaced; a changed order would silently make every label
wrong.
"""

from __future__ import annotations

import pathlib

from vidjax.errors import DataError
from vidjax.files import read_json, write_json

FILE = "label_map.json"


def save(folder: str | pathlib.Path, labels: tuple[str, ...] | None) -> None:
    """Write the class names, or null if there are none."""
    write_json(pathlib.Path(folder, FILE), {"labels": labels})


def load(folder: str | pathlib.Path) -> tuple[str, ...]:
    """Read the saved class names; empty if there are none.

    Raises:
      DataError: when no map was saved, or it is damaged.
    """
    path = pathlib.Path(folder, FILE)
    if not path.is_file():
        raise DataError(f"{folder} has no {FILE}; prepare the data set again")
    match read_json(path):
        case {"labels": None}:
            return ()
        case {"labels": [*labels]} if all(isinstance(label, str) for label in labels):
            return tuple(labels)
    raise DataError(f"{path} is damaged; restore it, or prepare the data set again")


def check(folder: str | pathlib.Path, labels: tuple[str, ...] | None) -> None:
    """Compare the class names of opened records with the saved map; records without a saved map pass.

    Raises:
      DataError: naming the first class that differs, or when the map is damaged.
    """
    path = pathlib.Path(folder, FILE)
    if not path.is_file():
        return
    saved, found = list(load(folder)), list(labels or [])
    if saved == found:
        return
    if len(saved) != len(found):
        raise DataError(
            f"{folder} was prepared with {len(saved)} classes ({FILE}); restore the label file, which now "
            f"names {len(found)}"
        )
    number = next(i for i, pair in enumerate(zip(saved, found, strict=True)) if pair[0] != pair[1])
    raise DataError(
        f"class {number} of {folder} was {saved[number]!r} when it was prepared ({FILE}) and is now {found[number]!r}; "
        "restore the label file"
    )
