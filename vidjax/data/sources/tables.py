"""A text file as a table, whatever separates its columns: commas, tabs, semicolons, a last space; or a JSON per line.

Rules, not guesses by frequency: a line is one path where the files say so; else the first separator counts that gives
every line as many columns as the first, and a space counts only behind a path. A quoted cell may hold anything.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from vidjax.data.sources.video_tree import EXTENSIONS, is_video_name
from vidjax.errors import DataError

JSON_LINES = (".jsonl", ".ndjson")
SUFFIXES = (".csv", ".tsv", ".txt", *JSON_LINES)
_LOOKED_AT = 200  # lines, to tell how columns are separated
_ENDINGS = "|".join(re.escape(extension) for extension in EXTENSIONS)
_BEHIND_PATH = re.compile(rf"(.+?(?:{_ENDINGS}))\s+(.+)", re.IGNORECASE)


@dataclass(frozen=True)
class Table:
    """The cells of a text file.

    Attributes:
      path: of the file.
      header: names of the columns, as they are written; empty where the first line is data already.
      rows: the number of the line and its cells. Cells are text, or whatever a JSON value is.
    """

    path: str
    header: tuple[str, ...]
    rows: list[tuple[int, tuple[Any, ...]]]

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self.rows[0][1])


def read_table(path: str, is_file: Callable[[str], bool], names: frozenset[str]) -> Table:
    """Read a list.

    Args:
      is_file: whether a path, as it may stand in the list, is that of a file.
      names: of columns that tell a header, plain as `plain` makes them.

    Raises:
      DataError: when it is empty, or with the number of a line that has other columns than the first.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            lines = file.read().splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise DataError(f"{path} lists no videos; write one `path label` a line")
    if path.lower().endswith(JSON_LINES):
        return _json_table(path, numbered)
    rows = list(_split(path, numbered, is_file))
    for number, cells in rows:
        if len(cells) != len(rows[0][1]):
            raise DataError(
                f"{path}, line {number}: it has {len(cells)} columns, and line {rows[0][0]} has {len(rows[0][1])}; "
                "put cells that hold a separator between double quotes"
            )
    first, rest = rows[0][1], rows[1:]
    if not _is_header(first, rest, names):
        return Table(path, (), rows)
    if not rest:
        raise DataError(f"{path} lists no videos below its header")
    return Table(path, first, rest)


def plain(name: str) -> str:
    """A column's name in lower case, with underscores between its words."""
    return re.sub(r"[\s_-]+", "_", name.strip().lower())


def _is_header(first: tuple[str, ...], rest: list, names: frozenset[str]) -> bool:
    """Whether the first line names columns: it has a known name, or no video where the lines below have theirs."""
    if any(is_video_name(cell) for cell in first):
        return False
    if any(plain(cell) in names for cell in first):
        return True
    return bool(rest) and any(
        all(is_video_name(cells[column]) for _, cells in rest[:_LOOKED_AT]) for column in range(len(first))
    )


def _split(path: str, numbered: list[tuple[int, str]], is_file: Callable[[str], bool]) -> Iterator[tuple[int, tuple]]:
    sample = [line for _, line in numbered[:_LOOKED_AT]]
    below = sample[1:] or sample  # the first may be a header
    if all(is_file(_unquoted(line)) for line in below[:3]):
        return ((number, (_unquoted(line),)) for number, line in numbered)
    if all("\t" in line for line in sample):
        return _cells(path, numbered, "\t")
    if all(_by_space(line) for line in below):
        return ((number, _by_space(line) or _at_last_space(path, number, line)) for number, line in numbered)
    for separator in ",;":
        found = _widths(sample, separator)
        if len(found) == 1 and min(found) > 1 and (separator == "," or _starts_with_video(below)):
            return _cells(path, numbered, separator)
    if all(is_video_name(_unquoted(line)) for line in below):
        return ((number, (_unquoted(line),)) for number, line in numbered)
    if all("," in line for line in sample):
        return _cells(path, numbered, ",")
    return ((number, _at_last_space(path, number, line)) for number, line in numbered)


def _cells(path: str, numbered: list[tuple[int, str]], separator: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    for number, line in numbered:
        try:
            (cells,) = csv.reader([line], delimiter=separator, skipinitialspace=True, strict=True)
        except csv.Error as error:
            raise DataError(f"{path}, line {number}: {line!r} cannot be split into columns: {error}") from error
        yield number, tuple(cell.strip() for cell in cells)


def _widths(lines: list[str], separator: str) -> set[int]:
    """How many cells lines have."""
    return {len(cells) for cells in csv.reader(lines, delimiter=separator, skipinitialspace=True)}


def _starts_with_video(lines: list[str]) -> bool:
    return all(is_video_name(line.split(";")[0].strip().strip('"')) for line in lines)


def _by_space(line: str) -> tuple[str, str] | None:
    """Path and label of a line with a video's path in front, split at the last space where that leaves one."""
    path, _, label = line.strip().rpartition(" ")
    if is_video_name(_unquoted(path)):
        return _unquoted(path), label
    quoted = re.fullmatch(r'\s*"([^"]+)"\s+(.+)', line)
    found = quoted if quoted and is_video_name(quoted[1]) else _BEHIND_PATH.fullmatch(line.strip())
    if found is None or any(separator in found[1] for separator in ',;"'):
        return None
    return found[1], found[2].strip()


def _at_last_space(path: str, number: int, line: str) -> tuple[str, str]:
    """A path without extension and its label."""
    video, _, label = line.strip().rpartition(" ")
    if not video.strip():
        raise DataError(
            f"{path}, line {number}: {line.strip()!r} is not a path, a space and a class; columns may also be "
            "separated by commas or tabs"
        )
    return _unquoted(video), label


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _json_table(path: str, numbered: list[tuple[int, str]]) -> Table:
    """Lines of JSON objects with the same keys or fewer, or of paths."""
    objects: list[tuple[int, dict[str, Any]]] = []
    for number, line in numbered:
        try:
            value = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: it is not JSON: {error}") from error
        value = {"path": value} if isinstance(value, str) else value
        if not isinstance(value, dict):
            raise DataError(f'{path}, line {number}: {line.strip()!r} is not an object such as {{"path": "a.mp4"}}')
        objects.append((number, value))
    header = tuple(dict.fromkeys(key for _, value in objects for key in value))
    return Table(path, header, [(number, tuple(value.get(key, "") for key in header)) for number, value in objects])
