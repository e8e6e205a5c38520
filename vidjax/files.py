"""Atomic file writes, on a disk or in a bucket: a reader sees the old content or the new, never a part of it.

Any package may import this module; the caller decides which process writes.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import pathlib
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from vidjax.errors import ConfigError, DataError

if TYPE_CHECKING:  # at run time, epath is imported for buckets only
    from etils import epath

    Place: TypeAlias = pathlib.Path | epath.Path  # what `located` returns
else:
    Place = os.PathLike

DRAFTS = ".*.part"  # the pattern of files that a killed process leaves behind
_BUCKETS = {"gs": "gcs", "s3": "s3"}  # the extra with the package for each kind of bucket
_REMEDIES = {  # for disk errors
    errno.ENOSPC: "make room on that disk, and start again",
    errno.EDQUOT: "make room within the quota, and start again",
    errno.EFBIG: "allow larger files (ulimit -f), and start again",
    errno.EROFS: "make it writable, or name another folder",
    errno.EACCES: "change its permissions, or name another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EIO: "the disk is failing; see the system's log",
    errno.ESTALE: "check that its disk is mounted, and start again",
}
_UPLOAD_EVERY = 30.0  # seconds between uploads of a growing file


def in_bucket(path: str | os.PathLike) -> bool:
    """Whether a path points into an object store, as `gs://bucket/run` does."""
    return "://" in os.fspath(path)


def located(path: str | os.PathLike) -> Place:
    """Return an object with the methods of `pathlib.Path` for a path on a disk or in a bucket (`gs://`, `s3://`).

    Raises:
      ConfigError: for an unknown kind of bucket, or one whose package is not installed.
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
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it logs each retried error; the last is raised anyway
    # Other processes change the bucket too, so a cached listing could show objects that no longer exist.
    fsspec.config.conf.setdefault(kind, {}).setdefault("use_listings_cache", False)
    return epath.Path(text)


def absolute(path: str | os.PathLike) -> Place:
    """Like `located`, but a local path is made absolute."""
    place = located(path)
    return place.absolute() if isinstance(place, pathlib.Path) else place


def write_whole(path: str | os.PathLike, content: bytes | str) -> None:
    """Write a draft beside `path` and move it into place; several processes may do this at once.

    An object in a bucket is written directly, because it appears atomically.

    Args:
      content: bytes, or text to be encoded as UTF-8.

    Raises:
      DataError: when it cannot be written.
      ConfigError: for a bucket that `located` refuses.
    """
    content = content.encode() if isinstance(content, str) else content
    if in_bucket(path):
        place = located(path)  # raises a ConfigError without the store's package
        with _storing(path):
            place.write_bytes(content)
        return
    with drafted(path) as draft, draft.open("wb") as file:
        file.write(content)


def make_folder(path: str | os.PathLike) -> None:
    """Create a folder and its parents, unless it exists.

    Raises:
      DataError: when it cannot be created.
      ConfigError: for a bucket that `located` refuses.
    """
    with writing(path):
        located(path).mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def drafted(path: str | os.PathLike) -> Generator[pathlib.Path]:
    """Yield a unique draft path beside a local file; when the block ends, the draft is moved to the file's name.

    The draft of an object in a bucket is a temporary local file, which is uploaded.

    Raises:
      DataError: when the draft or the file cannot be written; the draft is removed.
      ConfigError: for a bucket that `located` refuses.
    """
    if in_bucket(path):
        with tempfile.TemporaryDirectory(prefix="vidjax-") as folder:
            draft = pathlib.Path(folder, "draft")
            with writing(draft):
                yield draft
            _upload(draft, os.fspath(path))
        return
    path = pathlib.Path(path)
    draft = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex}.part")  # at most 255 bytes, up to 4 per character
    try:
        with writing(path):
            yield draft
            _to_disk(draft)
            draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def _upload(draft: pathlib.Path, address: str) -> None:
    """Copy a file of any size to an object, which appears once it is whole."""
    import fsspec

    located(address)  # raises a ConfigError without the store's package
    system, target = fsspec.core.url_to_fs(address)
    with _storing(address):
        system.put_file(str(draft), target)


@contextlib.contextmanager
def _storing(address: str | os.PathLike) -> Generator[None]:
    """Turn an error of an object store into a DataError."""
    try:
        yield
    except Exception as error:  # every store raises its own kinds of error
        raise DataError(f"{address} cannot be written: {str(error) or type(error).__name__}; start again") from error


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Generator[None]:
    """Turn a disk error while writing a file into a message for the user.

    Raises:
      DataError: with the remedy.
    """
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "check that its folder exists, and start again")
        raise DataError(f"{path} cannot be written: {error.strerror or error}; {remedy}") from error


def of_disk(error: OSError) -> str:
    """Return a message for a disk or permission error; empty for any other error."""
    if error.errno not in _REMEDIES:
        return ""
    return f"{error.filename or 'a file'}: {error.strerror}; {_REMEDIES[error.errno]}"


def _to_disk(path: pathlib.Path) -> None:
    """Wait until a file's content is on the disk; a file that is renamed earlier could be empty after a crash."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def write_json(path: str | os.PathLike, tree: Any) -> None:
    """Write one JSON value, indented for reading."""
    write_whole(path, json.dumps(tree, indent=2, ensure_ascii=False) + "\n")


def write_json_lines(path: str | os.PathLike, lines: Iterable[Any]) -> None:
    """Write one JSON value per line, in ASCII: text may contain characters at which `str.splitlines` splits."""
    write_whole(path, "".join(json.dumps(line) + "\n" for line in lines))


def read_json(path: str | os.PathLike) -> Any:
    """Read a JSON file; None if it does not exist or does not contain JSON."""
    try:
        return json.loads(located(path).read_bytes())
    except (FileNotFoundError, ValueError):  # invalid UTF-8 is a ValueError too
        return None


class JsonLines(NamedTuple):
    """The content of a file of JSON lines.

    Attributes:
      rows: one object per valid line.
      damaged: number of lines that are not JSON objects or lack a required value.
      cut: whether the last line is incomplete, as after a kill; it counts neither as a row nor as damaged.
    """

    rows: list[dict[str, Any]]
    damaged: int
    cut: bool


def read_json_lines(path: str | os.PathLike, **types: type | tuple[type, ...]) -> JsonLines:
    """Read the lines of a file; none if it does not exist.

    Args:
      types: types of the values that every line must have, by name.
    """
    try:
        *lines, rest = located(path).read_bytes().split(b"\n")
    except FileNotFoundError:
        lines, rest = [], b""
    rows = []
    for line in lines:
        with contextlib.suppress(ValueError):  # not JSON, or not UTF-8
            row = json.loads(line)
            if isinstance(row, dict) and all(isinstance(row.get(name), type_) for name, type_ in types.items()):
                rows.append(row)
    return JsonLines(rows, len(lines) - len(rows), bool(rest))


def mend_json_lines(
    path: str | os.PathLike, say: Callable[[str], None], **types: type | tuple[type, ...]
) -> list[dict[str, Any]]:
    """Read the lines of a file that will grow; a damaged file is set aside, and its valid lines are written again.

    Args:
      say: called with a message about damage.
      types: as for `read_json_lines`.
    """
    found = read_json_lines(path, **types)
    if found.damaged:
        say(
            f"{found.damaged} of {found.damaged + len(found.rows)} lines of {path} are damaged and left out; the "
            f"original file is now {set_aside(path)}"
        )
    if found.damaged or found.cut:
        write_json_lines(path, found.rows)
    return found.rows


def set_aside(path: str | os.PathLike) -> str:
    """Rename a damaged file, replacing any earlier one of that name; return the new name."""
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
    """Rename a folder, replacing any folder of that name; in a bucket each object is copied."""
    if isinstance(target, pathlib.Path):
        shutil.rmtree(target, ignore_errors=True)
    else:
        target.rmtree(missing_ok=True)
    source.rename(target)


class GrowingFile:
    """A text file to which lines are added; in a bucket, whose objects cannot grow, it is uploaded again periodically.

    Args:
      path: path of the file; missing folders are not created.
      content: initial content of the file; None keeps the existing content.
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
        """Add a line, given without its newline; on a disk it is written at once, to a bucket every half minute.

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
        """Upload the file now if the bucket lacks some of its lines."""
        if not self._file and self._changed:
            self._lines = ["".join(self._lines)]
            write_whole(self._path, self._lines[0])
            self._changed, self._written = False, time.monotonic()

    def close(self) -> None:
        """Flush and close the file."""
        self.flush()
        if self._file:
            with writing(self._path):  # closing retries a failed write
                self._file.close()
