"""Files that appear whole, on a disk or in a bucket: a reader sees the old content or the new one, never half of it.

Usable from every room; the caller decides which process writes.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import pathlib
import shutil
import time
import uuid
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from vidjax.errors import ConfigError, DataError

if TYPE_CHECKING:  # imported for buckets only
    from etils import epath

    Place: TypeAlias = pathlib.Path | epath.Path  # what `located` returns
else:
    Place = os.PathLike

DRAFTS = ".*.part"  # the pattern of what a killed process leaves behind
_BUCKETS = {"gs": "gcs", "s3": "s3"}  # the extra that holds what each kind of bucket is reached by
_REMEDIES = {  # of what a disk says
    errno.ENOSPC: "make room on that disk, and start again",
    errno.EDQUOT: "make room within the quota, and start again",
    errno.EFBIG: "allow larger files (ulimit -f), and start again",
    errno.EROFS: "make it writable, or name another folder",
    errno.EACCES: "allow it, or name another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EIO: "the disk fails; see the system's log",
    errno.ESTALE: "see that its disk is mounted, and start again",
}
_UPLOAD_EVERY = 30.0  # seconds between two copies of a growing file to a bucket


def in_bucket(path: str | os.PathLike) -> bool:
    """Whether a path names something in an object store, such as `gs://bucket/run`."""
    return "://" in os.fspath(path)


def located(path: str | os.PathLike) -> Place:
    """The path as an object with the methods of `pathlib.Path`, on a disk or in a bucket (`gs://`, `s3://`).

    Raises:
      ConfigError: for a kind of bucket that is unknown, or whose package is not installed.
    """
    text = os.fspath(path)
    if not in_bucket(text):
        return pathlib.Path(text)
    kind = text.split("://", 1)[0]
    if kind not in _BUCKETS:
        raise ConfigError(f"{text}: paths begin with {' or '.join(f'{name}://' for name in _BUCKETS)}, or are local")
    import fsspec.config
    from etils import epath

    try:
        fsspec.get_filesystem_class(kind)
    except ImportError as error:
        raise ConfigError(f"{text} needs a package: pip install 'vidjax[{_BUCKETS[kind]}]'") from error
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it prints a traceback of every try; the last is raised
    # Other processes write there too: a listing that was kept would show what is gone.
    fsspec.config.conf.setdefault(kind, {}).setdefault("use_listings_cache", False)
    return epath.Path(text)


def absolute(path: str | os.PathLike) -> Place:
    """`located`, a local path without the working folder that it is relative to."""
    place = located(path)
    return place.absolute() if isinstance(place, pathlib.Path) else place


def write_whole(path: str | os.PathLike, content: bytes | str) -> None:
    """Write a draft beside `path` and move it there; several processes may do so at once.

    An object of a bucket is written directly, since it appears whole by itself.

    Args:
      content: text is written as UTF-8.

    Raises:
      DataError: when the file cannot be written.
    """
    content = content.encode() if isinstance(content, str) else content
    if in_bucket(path):
        located(path).write_bytes(content)
        return
    with drafted(path) as draft, draft.open("wb") as file:
        file.write(content)


def make_folder(path: str | os.PathLike) -> None:
    """Make a folder, and those above it, unless it is there.

    Raises:
      DataError: when it cannot be made.
    """
    with writing(path):
        located(path).mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def drafted(path: str | os.PathLike) -> Generator[pathlib.Path]:
    """Give a local file its name when it has been written: yields a draft's path beside it, which no other process has.

    Raises:
      DataError: when the draft or the file cannot be written; the draft is removed.
    """
    path = pathlib.Path(path)
    draft = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex}.part")  # a name has 255 bytes, a letter up to 4
    try:
        with writing(path):
            yield draft
            _to_disk(draft)
            draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Generator[None]:
    """Around the writing of a file: what the disk says against it becomes a sentence.

    Raises:
      DataError: with the remedy.
    """
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "see that its folder is there, and start again")
        raise DataError(f"{path} cannot be written: {error.strerror or error}; {remedy}") from error


def of_disk(error: OSError) -> str:
    """The sentence for an error that only a disk or its permissions can mend; empty for any other."""
    if error.errno not in _REMEDIES:
        return ""
    return f"{error.filename or 'a file'}: {error.strerror}; {_REMEDIES[error.errno]}"


def _to_disk(path: pathlib.Path) -> None:
    """Return when the content of a file is on the disk: a name that it gets then is never that of an empty file."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def write_json(path: str | os.PathLike, tree: Any) -> None:
    """Write one JSON value, indented for people."""
    write_whole(path, json.dumps(tree, indent=2, ensure_ascii=False) + "\n")


def write_json_lines(path: str | os.PathLike, lines: Iterable[Any]) -> None:
    """Write one JSON value per line, in ASCII: text may hold characters that end a line for `str.splitlines`."""
    write_whole(path, "".join(json.dumps(line) + "\n" for line in lines))


def read_json(path: str | os.PathLike) -> Any:
    """The value of a JSON file; None where there is no such file, or what it holds is no JSON."""
    try:
        return json.loads(located(path).read_bytes())
    except (FileNotFoundError, ValueError):  # a byte that is no UTF-8 is a ValueError
        return None


class JsonLines(NamedTuple):
    """What a file of JSON lines holds.

    Attributes:
      rows: one object a line.
      damaged: how many lines are none, or lack what is asked for.
      cut: the last line has no end, as a kill leaves it; it is none of the others.
    """

    rows: list[dict[str, Any]]
    damaged: int
    cut: bool


def read_json_lines(path: str | os.PathLike, **types: type | tuple[type, ...]) -> JsonLines:
    """The lines of a file, none where it is absent.

    Args:
      types: of the values that every line has, by their names.
    """
    try:
        *lines, rest = located(path).read_bytes().split(b"\n")
    except FileNotFoundError:
        lines, rest = [], b""
    rows = []
    for line in lines:
        with contextlib.suppress(ValueError):  # no JSON, or no UTF-8
            row = json.loads(line)
            if isinstance(row, dict) and all(isinstance(row.get(name), type_) for name, type_ in types.items()):
                rows.append(row)
    return JsonLines(rows, len(lines) - len(rows), bool(rest))


def mend_json_lines(
    path: str | os.PathLike, say: Callable[[str], None], **types: type | tuple[type, ...]
) -> list[dict[str, Any]]:
    """The lines of a file to which more will be added; a damaged one is set aside, and its sound lines written anew.

    Args:
      say: is told of damage.
      types: as for `read_json_lines`.
    """
    found = read_json_lines(path, **types)
    if found.damaged:
        say(
            f"{found.damaged} of {found.damaged + len(found.rows)} lines of {path} are damaged and left out; the file "
            f"as it was is now {set_aside(path)}"
        )
    if found.damaged or found.cut:
        write_json_lines(path, found.rows)
    return found.rows


def set_aside(path: str | os.PathLike) -> str:
    """Give a damaged file another name, in place of what has that name; returns the name."""
    place = located(path)
    place.replace(place.with_name(f"{place.name}.damaged"))
    return f"{place.name}.damaged"


def copy_tree(source: pathlib.Path, target: Place) -> None:
    """Copy the files below a local folder to the same relative paths below another, which may be in a bucket."""
    for path in source.rglob("*"):
        if path.is_file():
            there = target / path.relative_to(source).as_posix()
            there.parent.mkdir(parents=True, exist_ok=True)
            write_whole(there, path.read_bytes())


def move_tree(source: Place, target: Place) -> None:
    """Give a folder another name, in place of what has that name; in a bucket each of its objects is copied."""
    if isinstance(target, pathlib.Path):
        shutil.rmtree(target, ignore_errors=True)
    else:
        target.rmtree(missing_ok=True)
    source.rename(target)


class GrowingFile:
    """A text file to which lines are added; in a bucket, whose objects cannot grow, its copy is written anew at times.

    Args:
      path: of the file; missing folders are not made.
      content: what the file holds at the beginning; None leaves what is there.
    """

    def __init__(self, path: Place, content: str | None = None):
        self._path, self._written, self._file = path, time.monotonic(), None
        if content is not None:
            write_whole(path, content)
        if in_bucket(path):
            self._lines = [content if content is not None else path.read_text() if path.exists() else ""]
            self._changed = False
        else:
            with writing(path):
                self._file = pathlib.Path(path).open("a", buffering=1)  # noqa: SIM115 - close() closes it

    def add(self, line: str) -> None:
        """Write a line, given without its end. A disk has it at once, a bucket when half a minute is over.

        Raises:
          DataError: when it cannot be written.
        """
        if self._file:
            with writing(self._path):
                self._file.write(line + "\n")
            return
        self._lines.append(line + "\n")
        self._changed = True
        if time.monotonic() > self._written + _UPLOAD_EVERY:
            self.flush()

    def flush(self) -> None:
        """Write now what a bucket does not have yet."""
        if not self._file and self._changed:
            self._lines = ["".join(self._lines)]
            write_whole(self._path, self._lines[0])
            self._changed, self._written = False, time.monotonic()

    def close(self) -> None:
        """Flush, and let go of the file."""
        self.flush()
        if self._file:
            with writing(self._path):  # it tries once more to write what it could not
                self._file.close()
