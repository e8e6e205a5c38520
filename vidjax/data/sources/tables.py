"""Read a text file as a table, whose columns are separated by commas, tabs, semicolons or the last space of a line.

A file of JSON lines has one object or one path per line. In other files, fixed rules choose the separator, not
frequencies: if the lines are paths of existing files, each line is one path. Otherwise the separator is the first of
tab, space, comma and semicolon that fits all lines; a space counts only after the path of a video, or if nothing else
fits. A quoted cell may hold anything except a line break.
"""

from __future__ import annotations

import bisect
import csv
import functools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from vidjax.data.sources.video_tree import EXTENSIONS, is_video_name
from vidjax.errors import DataError

JSON_LINES = (".jsonl", ".ndjson")
SUFFIXES = (".csv", ".tsv", ".txt", *JSON_LINES)
_LOOKED_AT = 200  # lines read to determine the separator
_BLOCK = 2**20  # characters read at once
_ENDINGS = "|".join(re.escape(extension) for extension in EXTENSIONS)
_BEHIND_PATH = re.compile(rf"(.+?(?:{_ENDINGS}))\s+(.+)", re.IGNORECASE)


class Lines(NamedTuple):
    """The non-empty lines of a file, with their numbers."""

    numbers: Sequence[int]
    texts: list[str]


class Rows(NamedTuple):
    """Rows of a table, with their line numbers."""

    numbers: Sequence[int]
    cells: list[tuple[Any, ...]]


@dataclass(frozen=True)
class Table:
    """The cells of a text file of any length, which is read block by block.

    Attributes:
      path: path of the file.
      header: names of the columns as written; empty if the first line is already data.
      first: up to 200 rows from the beginning. Cells are text, or any JSON value.
      divide: splits lines into cells.
      top: line number of the first non-empty line; begins: line number of the first row.
    """

    path: str
    header: tuple[str, ...]
    first: Rows
    divide: Callable[[Lines], list[tuple[Any, ...]]]
    top: int
    begins: int

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self.first.cells[0])

    def blocks(self) -> Iterator[Rows]:
        """Yield all rows, in blocks.

        Raises:
          DataError: with the number of a line that is malformed, or has a different number of columns than the first.
        """
        for lines in _blocks(self.path):
            numbers, texts = lines
            if numbers[0] < self.begins:
                above = bisect.bisect_left(numbers, self.begins)
                numbers, texts = numbers[above:], texts[above:]
            if texts:
                rows = Rows(numbers, self.divide(Lines(numbers, texts)))
                _check_width(self.path, rows, self.width, self.top)
                yield rows


def read_table(path: str, is_file: Callable[[str], bool], names: frozenset[str]) -> Table:
    """Determine the separator and the columns of a list.

    Args:
      is_file: whether a path, as written in the list, names an existing file.
      names: column names that identify a header, as `plain` returns them.

    Raises:
      DataError: when it is empty, or its first lines are malformed.
    """
    sample = _sample(path)
    if not sample.texts:
        raise DataError(f"{path} lists no videos; write one `path label` per line")
    if path.lower().endswith(JSON_LINES):
        return _json_table(path, sample)
    divide = functools.partial(_dividing(path, sample.texts, is_file), path)
    cells, top = divide(sample), sample.numbers[0]
    _check_width(path, Rows(sample.numbers, cells), len(cells[0]), top)
    if not _is_header(cells[0], cells[1:], names):
        return Table(path, (), Rows(sample.numbers, cells), divide, top, top)
    if len(cells) < 2:
        raise DataError(f"{path} lists no videos below its header")
    return Table(path, cells[0], Rows(sample.numbers[1:], cells[1:]), divide, top, sample.numbers[1])


def plain(name: str) -> str:
    """A column name in lower case, with underscores between words."""
    return re.sub(r"[\s_-]+", "_", name.strip().lower())


def _check_width(path: str, rows: Rows, width: int, top: int) -> None:
    """Reject rows with a different number of columns than the first line."""
    if set(map(len, rows.cells)) == {width}:
        return
    number, found = next(
        (number, len(cells)) for number, cells in zip(rows.numbers, rows.cells, strict=True) if len(cells) != width
    )
    raise DataError(
        f"{path}, line {number}: it has {found} columns, but line {top} has {width}; put cells that contain a "
        "separator in double quotes"
    )


def _sample(path: str) -> Lines:
    """Read the first lines."""
    found = Lines([], [])
    for numbers, texts in _blocks(path):
        found = Lines([*found.numbers, *numbers][:_LOOKED_AT], [*found.texts, *texts][:_LOOKED_AT])
        if len(found.texts) == _LOOKED_AT:
            break
    return found


def _blocks(path: str) -> Iterator[Lines]:
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            number = 1
            while some := file.readlines(_BLOCK):
                lines = "".join(some).splitlines()
                numbers: Sequence[int] = range(number, number + len(lines))
                number += len(lines)
                if not all(map(str.strip, lines)):
                    numbers = [number for number, line in zip(numbers, lines, strict=True) if line.strip()]
                    lines = [line for line in lines if line.strip()]
                if lines:
                    yield Lines(numbers, lines)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _is_header(first: tuple[str, ...], rest: list[tuple[str, ...]], names: frozenset[str]) -> bool:
    """Whether the first line names columns: it has a known name, or no video in a column that has only videos below."""
    if any(is_video_name(cell) for cell in first):
        return False
    if any(plain(cell) in names for cell in first):
        return True
    return bool(rest) and any(all(is_video_name(cells[column]) for cells in rest) for column in range(len(first)))


def _dividing(path: str, sample: list[str], is_file: Callable[[str], bool]) -> Callable[[str, Lines], list[tuple]]:
    """Choose the function that splits lines into cells, from the first lines of a file."""
    below = sample[1:] or sample  # the first may be a header
    if all(is_file(_unquoted(line)) for line in below[:3]):
        return _whole
    if all("\t" in line for line in sample):
        return functools.partial(_cells, "\t")
    if all(_by_space(line) for line in below):
        return _path_and_label
    for separator in ",;":
        found = _widths(sample, separator)
        if len(found) == 1 and min(found) > 1 and (separator == "," or _starts_with_video(below)):
            return functools.partial(_cells, separator)
    if all(is_video_name(_unquoted(line)) for line in below):
        return _whole
    if all("," in line for line in sample):
        return functools.partial(_cells, ",")
    return _name_and_label


def _whole(path: str, lines: Lines) -> list[tuple[str, ...]]:
    del path
    return [(_unquoted(line),) for line in lines.texts]


def _path_and_label(path: str, lines: Lines) -> list[tuple[str, ...]]:
    return [
        _by_space(line) or _at_last_space(path, number, line)
        for number, line in zip(lines.numbers, lines.texts, strict=True)
    ]


def _name_and_label(path: str, lines: Lines) -> list[tuple[str, ...]]:
    return [_at_last_space(path, number, line) for number, line in zip(lines.numbers, lines.texts, strict=True)]


def _cells(separator: str, path: str, lines: Lines) -> list[tuple[str, ...]]:
    try:
        cells = _read_csv(lines.texts, separator)
        if len(cells) == len(lines.texts):
            return cells
    except csv.Error:
        pass
    return [_cells_of(path, number, line, separator) for number, line in zip(lines.numbers, lines.texts, strict=True)]


def _cells_of(path: str, number: int, line: str, separator: str) -> tuple[str, ...]:
    try:
        (cells,) = _read_csv([line], separator)
    except csv.Error as error:
        raise DataError(f"{path}, line {number}: {line!r} cannot be split into columns: {error}") from error
    return cells


def _read_csv(lines: list[str], separator: str) -> list[tuple[str, ...]]:
    rows = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
    return [tuple(map(str.strip, cells)) for cells in rows]


def _widths(lines: list[str], separator: str) -> set[int]:
    """The distinct numbers of cells per line."""
    return {len(cells) for cells in csv.reader(lines, delimiter=separator, skipinitialspace=True)}


def _starts_with_video(lines: list[str]) -> bool:
    return all(is_video_name(line.split(";")[0].strip().strip('"')) for line in lines)


def _by_space(line: str) -> tuple[str, str] | None:
    """Split a line that starts with a video's path into path and label, at the last space if that leaves a path."""
    path, _, label = line.strip().rpartition(" ")
    if is_video_name(_unquoted(path)):
        return _unquoted(path), label
    quoted = re.fullmatch(r'\s*"([^"]+)"\s+(.+)', line)
    found = quoted if quoted and is_video_name(quoted[1]) else _BEHIND_PATH.fullmatch(line.strip())
    if found is None or any(separator in found[1] for separator in ',;"'):
        return None
    return found[1], found[2].strip()


def _at_last_space(path: str, number: int, line: str) -> tuple[str, str]:
    """Split a line into a path without extension and a label."""
    video, _, label = line.strip().rpartition(" ")
    if not video.strip():
        raise DataError(
            f"{path}, line {number}: {line.strip()!r} is not a path, a space and a class (columns may also be "
            "separated by commas or tabs)"
        )
    return _unquoted(video), label


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _json_table(path: str, sample: Lines) -> Table:
    """Read lines of JSON objects, whose keys together are the columns, or of JSON strings, which are paths."""
    objects = (about for lines in _blocks(path) for about in _objects(path, lines))
    header = tuple(dict.fromkeys(key for about in objects for key in about))

    def divide(lines: Lines) -> list[tuple[Any, ...]]:
        return [tuple(about.get(key, "") for key in header) for about in _objects(path, lines)]

    return Table(path, header, Rows(sample.numbers, divide(sample)), divide, sample.numbers[0], sample.numbers[0])


def _objects(path: str, lines: Lines) -> Iterator[dict[str, Any]]:
    for number, line in zip(lines.numbers, lines.texts, strict=True):
        try:
            value = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: it is not JSON: {error}") from error
        value = {"path": value} if isinstance(value, str) else value
        if not isinstance(value, dict):
            raise DataError(f'{path}, line {number}: {line.strip()!r} is not an object such as {{"path": "a.mp4"}}')
        yield value
