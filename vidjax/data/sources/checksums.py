"""Checksums of a data set's files, listed as `sha256sum` writes them: one line per file, with its SHA-256 and its path.

SHA-256 is used because every system has a tool for it (`cd ROOT && sha256sum --check SHA256SUMS`) and processors have
instructions for it. Decoding a clip of 16 frames from 212 kB of H.264 takes one core 11 ms, of which hashing takes 0.1.
"""

from __future__ import annotations

import array
import concurrent.futures
import functools
import hashlib
import itertools
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np

from vidjax.config import DataConfig
from vidjax.data.in_place import placed
from vidjax.data.video.checked_file import CheckedFile, sha256_of
from vidjax.errors import DataError
from vidjax.files import write_whole

FILE = "SHA256SUMS"
_LINE = re.compile(r"(\\?)([0-9a-fA-F]{64}) [ *](.+)")
_ESCAPES = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}
_AT_ONCE = 1 << 16  # files that are looked up together
VideoT = TypeVar("VideoT")


class Checksums:
    """A list of checksums, in 40 bytes of memory per file, since a data set may have millions.

    Attributes:
      path: path of the list.
      root: the folder that its paths are relative to.
    """

    def __init__(self, path: str, root: str):
        """Read the list.

        Raises:
          DataError: when it cannot be read, a line is malformed, or a file is listed with two different checksums.
        """
        self.path, self.root = path, root
        keys, digests = array.array("Q"), bytearray()
        for name, digest in read_list(path):
            keys.append(_key(name))
            digests += digest
        order = np.argsort(keys, kind="stable")
        self._keys = placed(np.asarray(keys, np.uint64)[order])
        self._digests = placed(np.frombuffer(digests, np.uint8).reshape(-1, 32)[order])
        again = np.flatnonzero((self._keys[1:] == self._keys[:-1]) & (self._digests[1:] != self._digests[:-1]).any(1))
        if len(again):
            first = sorted(order[again[0] : again[0] + 2])[1]
            raise DataError(
                f"{path}, line {first + 1}: the file is listed again with another checksum; remove one of the two lines"
            )

    def of(self, file: str) -> bytes | None:
        """The expected SHA-256 of a file; None if it is not listed."""
        key = np.uint64(_key(_relative(file, self.root)))
        place = int(np.searchsorted(self._keys, key))
        return self._digests[place].tobytes() if place < len(self._keys) and self._keys[place] == key else None

    def checked(self, video: VideoT) -> VideoT | CheckedFile:
        """A path together with its checksum, if it has one; anything that is not a path is returned unchanged."""
        digest = self.of(video) if isinstance(video, str) else None
        return CheckedFile(video, digest, self.path) if isinstance(video, str) and digest else video

    def unlisted(self, files: Iterable[str]) -> list[str]:
        """The files that have no checksum."""
        if not len(self._keys):
            return list(files)
        found, files = list[str](), iter(files)
        while some := list(itertools.islice(files, _AT_ONCE)):
            keys = np.array([_key(_relative(file, self.root)) for file in some], np.uint64)
            places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            found += itertools.compress(some, self._keys[places] != keys)
        return found

    def gone(self) -> list[str]:
        """The listed files that do not exist."""
        paths = (os.path.join(self.root, name) for name, _ in read_list(self.path))
        return [path for path in paths if not os.path.isfile(path)]


def find_checksums(root: str, data: DataConfig) -> Checksums | None:
    """Open the list named by `data.checksums`, or else the one in the root or beside a list of videos, if there is one.

    Raises:
      DataError: when the named list does not exist, or a list is malformed.
    """
    if not root:
        return None
    path, folder = checksums_path(root, data)
    if data.checksums and not os.path.isfile(path):
        raise DataError(f"data.checksums={data.checksums} is missing; `vidjax check DIR --write-checksums` writes it")
    return _read_once(path, folder, os.stat(path).st_mtime_ns) if os.path.isfile(path) else None


@functools.lru_cache(maxsize=1)
def _read_once(path: str, root: str, changed: int) -> Checksums:
    """Read a list once for all splits of a run; a list that has changed since is read again."""
    del changed
    return Checksums(path, root)


def checksums_path(root: str, data: DataConfig) -> tuple[str, str]:
    """The path of a data set's list, whether it exists or not, and the folder that its paths are relative to."""
    folder = os.path.abspath(os.path.dirname(root) if os.path.isfile(root) else root)
    named = os.path.abspath(os.path.expanduser(data.checksums)) if data.checksums else ""
    return named or os.path.join(folder, FILE), folder


def warn_of_unlisted(checksums: Checksums, files: Iterable[str]) -> None:
    """Log how many files are read without being compared with a checksum."""
    if unlisted := checksums.unlisted(files):
        logging.getLogger("vidjax").warning(
            "%s has no checksum for %d videos, which are read unchecked; the first is %s. `vidjax check` with "
            "--write-checksums adds them", checksums.path, len(unlisted), unlisted[0],
        )  # fmt: skip


def read_list(path: str) -> Iterator[tuple[str, bytes]]:
    """Yield the relative path and the SHA-256 of each line.

    Raises:
      DataError: when the list cannot be read, or a line is malformed, with its number.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            for number, line in enumerate(file, 1):
                match = _LINE.fullmatch(line.rstrip("\r\n"))
                if match is None:
                    raise DataError(
                        f"{path}, line {number}: expected a SHA-256, two spaces and a path, as sha256sum writes them"
                    )
                escaped, digest, name = match.groups()
                if escaped:
                    name = re.sub(r"\\[\\nr]", lambda found: _ESCAPES[found[0]], name)
                yield os.path.normpath(name), bytes.fromhex(digest)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def add_checksums(
    path: str, root: str, files: Iterable[str], *, threads: int = 1, on_file: Callable[[], None] = lambda: None
) -> int:
    """Add checksums of the files that a list lacks; existing checksums are kept, and all lines are sorted by path.

    Returns:
      the number of checksums added.

    Raises:
      DataError: when a file or the list cannot be read, or the list cannot be written.
    """
    listed = dict(read_list(path)) if os.path.isfile(path) else {}
    new = sorted({name for file in files if (name := _relative(file, root)) not in listed})

    def hashed(name: str) -> bytes:
        try:
            return sha256_of(os.path.join(root, name))
        except OSError as error:
            raise DataError(f"{os.path.join(root, name)} cannot be read: {error.strerror}") from error
        finally:
            on_file()

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:  # hashing releases the GIL
        listed.update(zip(new, pool.map(hashed, new), strict=True))
    lines = (_line(name, listed[name]) for name in sorted(listed))
    write_whole(path, "".join(lines).encode("utf-8", "surrogateescape"))
    return len(new)


def _line(name: str, digest: bytes) -> str:
    """Format a line like sha256sum, which escapes backslashes and line breaks in a path, and then marks the line."""
    written = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "\\" if written != name else ""
    return f"{mark}{digest.hex()}  {written}\n"


def _relative(file: str, root: str) -> str:
    """The path of a file as a list writes it."""
    below = f"{root}/"
    return os.path.normpath(file[len(below) :]) if file.startswith(below) else os.path.relpath(file, root)


def _key(name: str) -> int:
    """Hash a path to 8 bytes; one in 370,000 lists of ten million paths has a collision, and is rejected."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "little")
