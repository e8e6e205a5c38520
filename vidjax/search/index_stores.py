"""The videos of an index: each batch of new videos has its own feature store, in `stores/ID`.

`videos.jsonl` lists a store's videos with their sizes and modification times, by which changed files are recognised.
`live.jsonl` appears once every part is written, and lists the videos that are still in the index. A store without it is
unfinished; the same command finishes it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vidjax.errors import DataError
from vidjax.evaluation.features.header import Header, read_header, write_header
from vidjax.evaluation.features.parts import REASONS, missing_parts, open_part
from vidjax.files import Place, make_folder, read_json_lines, write_json_lines
from vidjax.search.index_header import FILE, IndexHeader

STORES = "stores"
_VIDEOS, _LIVE = "videos.jsonl", "live.jsonl"
_MOST_VIDEOS = 1024  # per store; its videos become searchable together
_PART_VIDEOS, _PARTS = 16, 16  # maximum videos per part; parts of a small store, for processes to share


@dataclasses.dataclass(frozen=True)
class Stamp:
    """The state of a file at some time.

    Attributes:
      path: absolute; bytes: its size; modified: its modification time in nanoseconds.
    """

    path: str
    bytes: int
    modified: int

    @classmethod
    def of(cls, path: str) -> Stamp | None:
        """Return the stamp of a file; None if there is no such file."""
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return None
        return cls(os.path.abspath(path), found.st_size, found.st_mtime_ns)

    @classmethod
    def read(cls, line: Mapping[str, Any]) -> Stamp:
        """Parse a line of a list."""
        return cls(line["video"], line["bytes"], line["modified"])

    def line(self) -> dict[str, Any]:
        """Return the stamp as a line of a list."""
        return {"video": self.path, "bytes": self.bytes, "modified": self.modified}

    @property
    def content(self) -> tuple[str, int, int]:
        """The properties that stay the same when the file's folder is moved."""
        return os.path.basename(self.path), self.bytes, self.modified


@dataclasses.dataclass(frozen=True)
class Live:
    """An indexed video.

    Attributes:
      stamp: its file when it was indexed.
      row: its row in the store.
      windows: number of its windows.
      reason: why it has none, one of `REASONS`; empty if it has some.
    """

    stamp: Stamp
    row: int
    windows: int
    reason: str


@dataclasses.dataclass(frozen=True)
class IndexStore:
    """A feature store of an index."""

    folder: Place
    header: Header
    videos: tuple[Stamp, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every part is written."""
        return not missing_parts(self.folder, self.header)

    @property
    def is_committed(self) -> bool:
        """Whether the index has its videos."""
        return (self.folder / _LIVE).exists()

    def live(self) -> list[Live]:
        """Return its videos that are in the index; none while the store is unfinished.

        Raises:
          DataError: if the list is damaged.
        """
        path = self.folder / _LIVE
        found = read_json_lines(path, video=str, bytes=int, modified=int, row=int, windows=int, reason=str)
        if found.damaged or found.cut:
            raise DataError(f"{path} is damaged; remove {self.folder} and index again")
        return [Live(Stamp.read(line), line["row"], line["windows"], line["reason"]) for line in found.rows]

    def write_live(self, entries: Iterable[Live]) -> None:
        """Replace the list of its videos that are in the index; if it is empty, remove the store."""
        lines = [
            entry.stamp.line() | {"row": entry.row, "windows": entry.windows, "reason": entry.reason}
            for entry in entries
        ]
        if lines:
            write_json_lines(self.folder / _LIVE, lines)
        else:
            remove_tree(self.folder)

    def commit(self) -> list[str]:
        """Add the videos of a complete store to the index, except files that have changed or disappeared meanwhile.

        Returns:
          the paths of those files.

        Raises:
          DataError: if a part is damaged.
        """
        counts: list[int] = []
        reasons: list[str] = []
        for part in range(self.header.num_parts):
            with open_part(self.folder, self.header, part) as content:
                reasons += [REASONS[code] if code >= 0 else "" for code in content.array("reason")]
                counts += content.windows().counts.tolist()
        entries, changed = [], []
        for row, (stamp, windows, reason) in enumerate(zip(self.videos, counts, reasons, strict=True)):
            if Stamp.of(stamp.path) == stamp:
                entries.append(Live(stamp, row, windows, reason))
            else:
                changed.append(stamp.path)
        self.write_live(entries)
        return changed


def find_stores(folder: Place, header: IndexHeader) -> list[IndexStore]:
    """Return the stores of an index, finished or not, in order of name.

    Raises:
      DataError: if one is damaged, or its features differ from those of the index.
    """
    place = folder / STORES
    if not place.is_dir():
        return []
    paths = [path for path in sorted(place.iterdir(), key=lambda path: path.name) if path.is_dir()]
    stores = [store for store in map(open_store, paths) if store]
    for store in stores:
        if not header.has_features_of(store.header):
            raise DataError(
                f"{store.folder} holds features that differ from those in {folder / FILE}, so it seems to be from "
                f"another index; remove it and run `{header.command(folder)}`"
            )
    return stores


def open_store(folder: Place) -> IndexStore | None:
    """Open a store; None if its list or its header was not written before a kill.

    Raises:
      DataError: if it is damaged.
    """
    header = read_header(folder)
    if header is None:
        return None
    found = read_json_lines(folder / _VIDEOS, video=str, bytes=int, modified=int)
    if found.damaged or found.cut or len(found.rows) != header.num_rows:
        raise DataError(f"{folder / _VIDEOS} is damaged; remove {folder} and index again")
    return IndexStore(folder, header, tuple(map(Stamp.read, found.rows)))


def begin_stores(folder: Place, header: IndexHeader, videos: Sequence[Stamp]) -> list[IndexStore]:
    """Create stores for new videos; several processes may do so at once."""
    found = []
    for start in range(0, len(videos), _MOST_VIDEOS):
        own = tuple(videos[start : start + _MOST_VIDEOS])
        lines = [stamp.line() for stamp in own]
        name = hashlib.sha256(json.dumps(lines).encode()).hexdigest()[:16]
        rows = max(1, min(_PART_VIDEOS, len(own) // _PARTS))
        place = folder / STORES / name
        make_folder(place)
        store = IndexStore(place, header.of_store(name, len(own), rows), own)
        write_json_lines(place / _VIDEOS, lines)
        write_header(place, store.header)
        found.append(store)
    return found


def remove_tree(folder: Place) -> None:
    """Remove a folder, which another process may be removing too."""
    for path in sorted(folder.glob("*"), key=lambda path: path.name == _LIVE, reverse=True):  # live.jsonl first
        path.unlink(missing_ok=True)
    try:
        folder.rmdir()
    except FileNotFoundError:  # in a bucket, an empty folder does not exist
        return
