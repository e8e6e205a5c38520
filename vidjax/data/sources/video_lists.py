"""Lists of videos: which column holds the path, the class, the split and the caption, and what each line says."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from vidjax.data.sources.tables import SUFFIXES, Table, plain, read_table
from vidjax.data.sources.video_tree import is_video_name
from vidjax.errors import DataError

LABELS_FILE = "labels.txt"
NAMES = {  # of a column by what it holds, the likeliest first
    "path": (
        "path", "video_path", "filepath", "file_path", "file", "filename", "file_name", "video", "videos", "video_file",
        "video_name", "clip", "clip_path", "clip_name", "videopath", "src", "source",
    ),
    "label": (
        "label", "labels", "class", "classes", "class_name", "classname", "label_name", "category", "categories",
        "action", "actions", "tag", "tags", "activity", "class_id", "label_id",
    ),
    "split": ("split", "subset", "set", "partition"),
    "caption": ("caption", "captions", "text", "sentence", "description"),
}  # fmt: skip
_KNOWN = frozenset(name for names in NAMES.values() for name in names)
_LOOKED_AT = 50  # rows, to tell whether a column holds paths


class Entry(NamedTuple):
    """A video that a list names or a folder holds.

    Attributes:
      name: path relative to the root, with forward slashes.
      labels: its classes, as they are written; empty where none is known.
      captions: sentences about it.
      split: as it is written; empty where the list does not say.
      line: of the list; 0 where there is none.
      size: in bytes; None where nobody has looked yet.
    """

    name: str
    labels: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    split: str = ""
    line: int = 0
    size: int | None = None


@dataclass(frozen=True)
class VideoList:
    """What a list says.

    Attributes:
      path: of the list.
      columns: what was found in which column: path, label, split, caption -> its name, or its number from 1.
      unlabelled: why no column holds the class, for a message; empty where one does.
    """

    path: str
    entries: list[Entry]
    columns: dict[str, str]
    unlabelled: str = ""


def read_list(path: str, root: str) -> VideoList:
    """Read a list of videos: `.csv`, `.tsv`, `.txt` or `.jsonl`.

    Relative paths start at the list's folder, or else at `root`.

    Raises:
      DataError: with the number of a line that is malformed, or with the columns when none holds paths.
    """
    places = tuple(dict.fromkeys((os.path.dirname(path), root)))
    table = read_table(path, lambda name: any(os.path.isfile(os.path.join(at, name)) for at in places), _KNOWN)
    columns, complaint = _columns(table)
    entries = [_entry(table.path, line, cells, columns, _Places(root, places)) for line, cells in table.rows]
    shown = {what: table.header[at] if table.header else str(at + 1) for what, at in columns.items()}
    return VideoList(path, entries, shown, complaint)


def find_split_list(root: str, names: Sequence[str]) -> str | None:
    """The list of a split: the first of `<name>.csv`, `.tsv`, `.txt`, `.jsonl` that there is."""
    paths = (os.path.join(root, name + suffix) for name in names for suffix in SUFFIXES)
    return next((path for path in paths if os.path.isfile(path)), None)


def find_only_list(root: str) -> str | None:
    """The list that lies in a folder by itself and names videos.

    Raises:
      DataError: when there are several.
    """
    files = sorted(entry.name for entry in os.scandir(root) if entry.name.lower().endswith(SUFFIXES))
    plausible = (name for name in files if name != LABELS_FILE and not name.lower().startswith((".", "readme")))
    found = [name for name in plausible if _names_videos(os.path.join(root, name))]
    if len(found) > 1:
        raise DataError(
            f"{root} has several lists of videos: {', '.join(found)}; set --config.data.root to one of them, or call "
            "them train.csv and val.csv"
        )
    return os.path.join(root, found[0]) if found else None


def class_names(root: str) -> tuple[str, ...]:
    """The lines of root/labels.txt; nothing if there is none."""
    path = os.path.join(root, LABELS_FILE)
    if not os.path.isfile(path):
        return ()
    with open(path, encoding="utf-8") as lines:
        return tuple(line.strip() for line in lines if line.strip())


def is_number(label: str) -> bool:
    """Whether a label is a class number from 0 up; a table program may have written 3 as 3.0."""
    return bool(re.fullmatch(r"\d+(\.0+)?", label))


def _names_videos(path: str) -> bool:
    try:
        listed = read_list(path, os.path.dirname(path))
    except (DataError, UnicodeError):
        return False
    return all(is_video_name(entry.name) for entry in listed.entries[:_LOOKED_AT])


def _columns(table: Table) -> tuple[dict[str, int], str]:
    """Which column holds what, and why none holds the class."""
    called = [plain(name) for name in table.header]
    found = {what: called.index(name) for what, names in NAMES.items() for name in reversed(names) if name in called}
    likely = [column for column in range(table.width) if _holds_paths(table, column)]
    if found.get("path") not in likely and likely:
        named = [called.index(name) for name in NAMES["path"] if name in called and called.index(name) in likely]
        if named or len(likely) == 1:
            found["path"] = (named or likely)[0]
    if "path" not in found and not table.header:
        found["path"] = 0
    if "path" not in found:
        raise DataError(
            f"{table.path}: none of its columns {_quoted(table)} is known to name the videos; call that column 'path' "
            "in the first line"
        )
    if not table.header and table.width == 2:
        found["label"] = 1 - found["path"]
    found = {what: at for what, at in found.items() if what == "path" or at != found["path"]}
    if "label" in found:
        return found, ""
    if table.width == 1:
        return found, "it lists paths alone; add a column 'label' with the class of each"
    where = f"its columns are {_quoted(table)}" if table.header else f"it has {table.width} columns without names"
    return found, f"{where}, of which none is called 'label' (or 'class', 'category'); name the one that holds it so"


def _holds_paths(table: Table, column: int) -> bool:
    rows = table.rows[:_LOOKED_AT]
    return all(isinstance(cells[column], str) and is_video_name(cells[column]) for _, cells in rows)


def _quoted(table: Table) -> str:
    return ", ".join(repr(name) for name in table.header)


class _Places(NamedTuple):
    """Where relative paths may start; names are given relative to the root."""

    root: str
    folders: tuple[str, ...]


def _entry(source: str, line: int, cells: tuple[Any, ...], columns: dict[str, int], places: _Places) -> Entry:
    values = {what: cells[at] for what, at in columns.items()}
    path = values["path"]
    if not isinstance(path, str) or not path.strip():
        raise DataError(f"{source}, line {line}: it names no video")
    return Entry(
        _relative(path.strip(), places),
        _texts(values.get("label", ""), ";"),
        _texts(values.get("caption", "")),
        str(values.get("split", "")).strip(),
        line,
    )


def _texts(value: Any, separator: str = "") -> tuple[str, ...]:
    """What a cell holds, as texts: a JSON list, or text that a separator divides."""
    if isinstance(value, list | tuple):
        parts = value
    else:
        parts = value.split(separator) if separator and isinstance(value, str) else (value,)
    texts = ("" if part is None else str(part).strip() for part in parts)
    return tuple(text for text in texts if text)


def _relative(path: str, places: _Places) -> str:
    """The path relative to the root; where it is in no folder, as if it were in the first."""
    root, (first, *others) = places
    if os.path.isabs(path) or first != root or others or ".." in path or path.startswith("./"):
        full = os.path.join(first, path)
        if others and not os.path.isfile(full):
            full = next((there for at in others if os.path.isfile(there := os.path.join(at, path))), full)
        return os.path.relpath(full, root).replace(os.sep, "/")
    return path.replace(os.sep, "/")
