"""The parts of a feature store: files of consecutive rows that appear only when complete, with hashes of their content.

`part-00012.safetensors` holds every array of a block of rows, with their labels, targets, ids, groups and, for a video
without features, the reason. In a store of windows it also holds the number of windows of each row, their times, and
the rate and the length of each video. Arrays and rows are checked against their hashes when read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import tempfile
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from vidjax.data.sources.rows import Row
from vidjax.errors import DataError, VideoError
from vidjax.evaluation.features.header import Header
from vidjax.evaluation.features.window_times import WindowTimes
from vidjax.evaluation.multiview import NOT_FINITE
from vidjax.files import DRAFTS, Place, in_bucket, write_whole

REASONS = (*VideoError.REASONS, NOT_FINITE)  # why a row has no features; parts hold their indices, -1 for no reason
_ABOUT = "about"  # the only entry of metadata, because several would have no fixed order in the file
_ROWS = "rows"
_WINDOWS = "windows."  # prefix of the names of the fields of WindowTimes


@dataclasses.dataclass(frozen=True)
class Part:
    """An open part.

    Attributes:
      file: the open safetensors file.
      rows: id and group of each row.
      hashes: hashes of the arrays, by name.
    """

    file: Any
    rows: list[dict[str, Any]]
    hashes: dict[str, str]

    def array(self, name: str) -> np.ndarray:
        """Read an array of all rows of the part.

        Raises:
          ValueError: if its content is not what was written.
        """
        found = self.file.get_tensor(name)
        if _hash(found) != self.hashes[name]:
            raise ValueError(f"{name} is not what was written")
        return found

    def check(self) -> None:
        """Read every array, and check it against its hash.

        Raises:
          ValueError: if one is not what was written.
        """
        for name in self.hashes.keys() - {_ROWS}:
            self.array(name)

    def windows(self) -> WindowTimes:
        """Read the counts and times of the windows in a part; only for a store of windows.

        Raises:
          ValueError: if their content is not what was written.
        """
        return WindowTimes(*(self.array(f"{_WINDOWS}{name}") for name in WindowTimes._fields))


def write_part(
    folder: Place,
    part: int,
    arrays: dict[str, np.ndarray],
    rows: Sequence[Row],
    reasons: Sequence[str],
    windows: WindowTimes | None = None,
) -> None:
    """Write one part, which appears only when it is complete.

    Args:
      arrays: the arrays of the part's rows or windows, in the dtype of the store.
      rows: the rows, whose labels, targets, ids and groups are stored.
      reasons: one of `REASONS` for a row without features, else empty.
      windows: the windows from which the arrays were computed; None for one central view per row.
    """
    codes = [REASONS.index(reason) if reason else -1 for reason in reasons]
    arrays = arrays | {
        "label": np.array([row.label for row in rows], np.int64),
        "target": np.array([row.target for row in rows], np.float32).reshape(len(rows), -1),
        "reason": np.array(codes, np.int8),
    }
    arrays |= {f"{_WINDOWS}{name}": array for name, array in (windows._asdict() if windows else {}).items()}
    names = [{"id": row.id, "group": row.group} for row in rows]
    hashes = {name: _hash(array) for name, array in arrays.items()} | {_ROWS: _hash_rows(names)}
    about = {_ABOUT: json.dumps({_ROWS: names, "sha256": hashes}, ensure_ascii=False)}
    write_whole(part_path(folder, part), safetensors.numpy.save(arrays, about))


@contextlib.contextmanager
def open_part(folder: Place, header: Header, part: int) -> Generator[Part]:
    """Open a part for reading.

    Raises:
      DataError: if the part is damaged, even if this is noticed only within the `with` block; the message gives the
        command that writes the part again.
    """
    path = part_path(folder, part)
    try:
        with _on_disk(path) as local, safetensors.safe_open(local, framework="numpy") as file:
            about = json.loads(file.metadata()[_ABOUT])
            if _hash_rows(about[_ROWS]) != about["sha256"][_ROWS]:
                raise ValueError("its rows are not those that were written")
            yield Part(file, about[_ROWS], about["sha256"])
    except (safetensors.SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} is damaged ({error}); remove it and write it again with `{header.command(folder)}`"
        ) from error


def missing_parts(folder: Place, header: Header) -> list[int]:
    """Return the numbers of the parts that are not written yet."""
    there = {path.name for path in folder.glob("part-*.safetensors")}
    return [part for part in range(header.num_parts) if part_path(folder, part).name not in there]


def failures(folder: Place, header: Header, parts: Sequence[int]) -> list[tuple[str, str]]:
    """Return the id and reason of each row without features in some parts."""
    found = []
    for part in parts:
        with open_part(folder, header, part) as content:
            codes = zip(content.rows, content.array("reason"), strict=True)
            found += [(row["id"], REASONS[code]) for row, code in codes if code >= 0]
    return found


def short_videos(folder: Place, header: Header, parts: Sequence[int]) -> list[tuple[str, float]]:
    """Return the id and the seconds of each row in some parts that is shorter than a window, in a store of windows."""
    found = []
    for part in parts:
        with open_part(folder, header, part) as content:
            windows = content.windows()
            lasts = np.cumsum(windows.counts) - 1
            for row, count, last, fps in zip(content.rows, windows.counts, lasts, windows.fps, strict=True):
                seconds = float(windows.times[last, 1] - windows.times[last, 0]) if count == 1 else math.inf
                if seconds + 0.5 / max(fps, 1e-9) < header.window_seconds(fps or 1):
                    found.append((row["id"], seconds))
    return found


def part_path(folder: Place, part: int) -> Place:
    """Return the path of a part."""
    return folder / f"part-{part:05d}.safetensors"


def remove_leftovers(folder: Place) -> None:
    """Remove half-written files of killed processes; only safe while no process is writing."""
    for path in folder.glob(DRAFTS):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _on_disk(path: Place) -> Generator[str]:
    """Yield a local path with the content of a part; a part in a bucket is copied to a temporary file."""
    if not in_bucket(path):
        yield str(path)
        return
    with tempfile.NamedTemporaryFile() as copy:
        copy.write(path.read_bytes())
        copy.flush()
        yield copy.name


def _hash(array: np.ndarray) -> str:
    """Return a hash of an array's dtype, shape and values."""
    found = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _hash_rows(rows: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
