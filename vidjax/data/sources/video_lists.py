"""Lists of videos: find the columns with the path, the class, the split and the caption, and read each line."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vidjax.data.sources.tables import SUFFIXES, Table, plain, read_table
from vidjax.data.sources.texts import GrowingTexts
from vidjax.data.sources.video_tree import is_video_name
from vidjax.data.sources.videos import Column, GrowingColumn, LineNumbers, Videos
from vidjax.errors import DataError

LABELS_FILE = "labels.txt"
NAMES = {  # column names by content, the likeliest first
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
_LOOKED_AT = 50  # rows read to determine whether a column holds paths
_LONG = 2**24  # a list of at least this many bytes is read only once for all splits


@dataclass(frozen=True)
class VideoList:
    """The contents of a list.

    Attributes:
      path: path of the list.
      columns: by content (path, label, split, caption), the name of the column that holds it, or its number from 1.
      unlabelled: why no column holds the class, for a message; empty if one does.
    """

    path: str
    videos: Videos
    columns: dict[str, str]
    unlabelled: str = ""


def read_list(path: str, root: str) -> VideoList:
    """Read a list of videos: `.csv`, `.tsv`, `.txt`, `.jsonl` or `.ndjson`.

    Relative paths start at the list's folder, or else at `root`. A long list is read once for all splits of a process.

    Raises:
      DataError: with the number of a malformed line, or with the columns when none holds paths.
    """
    try:
        about = os.stat(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if about.st_size < _LONG:
        return _read_list(path, root)
    return _read_long_list(path, root, (about.st_ino, about.st_mtime_ns, about.st_size))


@functools.lru_cache(maxsize=3)
def _read_long_list(path: str, root: str, version: tuple[int, ...]) -> VideoList:
    del version  # a changed list is read again
    return _read_list(path, root)


def _read_list(path: str, root: str) -> VideoList:
    places = tuple(dict.fromkeys((os.path.dirname(path), root)))
    table = _table(path, places)
    columns, complaint = _columns(table)
    names, labels, splits = GrowingTexts(), GrowingColumn(_labels), GrowingColumn(lambda cell: str(cell).strip())
    captions, empty, last = list[tuple[str, ...]](), list[int](), table.begins - 1
    relative = _Relative(root, places)
    for numbers, rows in table.blocks():
        names.add(relative.of(table.path, numbers, [cells[columns["path"]] for cells in rows]))
        if "label" in columns:
            labels.add([cells[columns["label"]] for cells in rows])
        if "split" in columns:
            splits.add([cells[columns["split"]] for cells in rows])
        if "caption" in columns:
            captions += [_texts(cells[columns["caption"]]) for cells in rows]
        if numbers[-1] - last > len(numbers):
            empty += sorted(set(range(last + 1, numbers[-1])) - set(numbers))
        last = numbers[-1]
    found = names.texts()
    videos = Videos(
        found,
        labels.column() if "label" in columns else Column.same((), len(found)),
        splits.column() if "split" in columns else Column.same("", len(found)),
        captions,
        LineNumbers(table.begins, empty).of,
    )
    shown = {what: table.header[at] if table.header else str(at + 1) for what, at in columns.items()}
    return VideoList(path, videos, shown, complaint)


def _table(path: str, places: tuple[str, ...]) -> Table:
    return read_table(path, lambda name: any(os.path.isfile(os.path.join(at, name)) for at in places), _KNOWN)


def find_split_list(root: str, names: Sequence[str]) -> str | None:
    """The list of a split: the first of `<name>.csv`, `.tsv`, `.txt`, `.jsonl`, `.ndjson` that exists."""
    paths = (os.path.join(root, name + suffix) for name in names for suffix in SUFFIXES)
    return next((path for path in paths if os.path.isfile(path)), None)


def find_only_list(root: str) -> str | None:
    """The only list in a folder that names videos.

    Raises:
      DataError: when there are several.
    """
    files = sorted(entry.name for entry in os.scandir(root) if entry.name.lower().endswith(SUFFIXES))
    plausible = (name for name in files if name != LABELS_FILE and not name.lower().startswith((".", "readme")))
    found = [name for name in plausible if _names_videos(os.path.join(root, name))]
    if len(found) > 1:
        raise DataError(
            f"{root} has several lists of videos: {', '.join(found)}; set --config.data.root to one of them, or name "
            "them train.csv and val.csv"
        )
    return os.path.join(root, found[0]) if found else None


def class_names(root: str) -> tuple[str, ...]:
    """The lines of root/labels.txt; empty if there is none."""
    path = os.path.join(root, LABELS_FILE)
    if not os.path.isfile(path):
        return ()
    with open(path, encoding="utf-8") as lines:
        return tuple(line.strip() for line in lines if line.strip())


def is_number(label: str) -> bool:
    """Whether a label is a class number from 0; spreadsheets may have written 3 as 3.0."""
    return bool(re.fullmatch(r"\d+(\.0+)?", label))


def _names_videos(path: str) -> bool:
    try:
        table = _table(path, (os.path.dirname(path),))
        column = _columns(table)[0]["path"]
    except (DataError, UnicodeError):
        return False
    return _holds_paths(table, column)


def _columns(table: Table) -> tuple[dict[str, int], str]:
    """Find the column for each kind of content, and the reason if none holds the class."""
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
            f"{table.path}: none of the columns {_quoted(table)} is known to hold the paths of videos; call the "
            "column of paths 'path' in the first line"
        )
    if not table.header and table.width == 2:
        found["label"] = 1 - found["path"]
    found = {what: at for what, at in found.items() if what == "path" or at != found["path"]}
    if "label" in found:
        return found, ""
    if table.width == 1:
        return found, "it lists only paths; add a column 'label' with the class of each video"
    where = f"its columns are {_quoted(table)}" if table.header else f"it has {table.width} columns without names"
    return found, f"{where}, none called 'label' (or 'class', 'category'); call the column of classes 'label'"


def _holds_paths(table: Table, column: int) -> bool:
    rows = table.first.cells[:_LOOKED_AT]
    return all(isinstance(cells[column], str) and is_video_name(cells[column]) for cells in rows)


def _quoted(table: Table) -> str:
    return ", ".join(repr(name) for name in table.header)


def _labels(cell: Any) -> tuple[str, ...]:
    return _texts(cell, ";")


def _texts(value: Any, separator: str = "") -> tuple[str, ...]:
    """The texts in a cell: the items of a JSON list, or the parts of a text split at a separator."""
    if isinstance(value, list | tuple):
        parts = value
    else:
        parts = value.split(separator) if separator and isinstance(value, str) else (value,)
    texts = ("" if part is None else str(part).strip() for part in parts)
    return tuple(text for text in texts if text)


class _Relative:
    """Converts paths to paths relative to the root; a path found in no folder is taken to be in the first."""

    def __init__(self, root: str, places: tuple[str, ...]):
        """Keep the folders where relative paths may start; a folder that many paths share is resolved once."""
        self._root, (self._first, *self._others) = root, places
        self._plain = self._first == root and not self._others
        self._folder = functools.lru_cache(2**16)(lambda folder: self._from_root(folder))

    def of(self, source: str, numbers: Sequence[int], paths: list[Any]) -> list[str]:
        """The paths of some lines.

        Raises:
          DataError: with the number of a line without a path.
        """
        for number, path in zip(numbers, paths, strict=True):
            if not isinstance(path, str) or not path.strip():
                raise DataError(f"{source}, line {number}: the path of the video is missing")
        return [self._relative(path.strip()) for path in paths]

    def _relative(self, path: str) -> str:
        if self._plain and not path.startswith(("/", "./")) and ".." not in path and os.sep == "/":
            return path
        full = os.path.join(self._first, path)
        if self._others and not os.path.isfile(full):
            full = next((there for at in self._others if os.path.isfile(there := os.path.join(at, path))), full)
        folder, name = os.path.split(full)
        return self._folder(folder) + name

    def _from_root(self, folder: str) -> str:
        found = os.path.relpath(folder, self._root).replace(os.sep, "/")
        return "" if found == "." else f"{found}/"
