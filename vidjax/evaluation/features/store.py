"""Features of a frozen backbone in a folder: parts of consecutive rows, each renamed into place when it is whole.

`features.json` (`features.header`) says what they are; `part-00012.safetensors` holds every array of a
block of rows with their labels, targets, ids, groups and, where a video has no features, the reason.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import Float, Int

from vidjax.data.sources.rows import Row
from vidjax.errors import ConfigError, DataError, VideoError
from vidjax.evaluation.features.header import HEADER, Header, differences, read_header
from vidjax.evaluation.multiview import NOT_FINITE
from vidjax.files import DRAFTS, write_whole

REASONS = (*VideoError.REASONS, NOT_FINITE)  # of a row without features; parts hold their numbers, -1 for none


class FeatureStore:
    """A complete store, opened for reading; its arrays are read when asked for.

    Attributes:
      header: what the features are.
      labels: (n,) int64 class numbers; targets: (n, k) float32 numbers to predict, k = 0 where rows have none.
      ids: names of the rows; groups: (n,) who or what is in each, its id where the data does not say.
      reasons: why a row has no features (then zeros), one of `REASONS`; empty where it has. decoded: (n,) bool, it has.
    """

    def __init__(self, folder: pathlib.Path, header: Header):
        self.folder, self.header = folder, header
        labels, targets, reasons, rows = [], [], [], []
        for part in range(header.num_parts):
            with _part(folder, header, part) as file:
                labels.append(file.get_tensor("label"))
                targets.append(file.get_tensor("target"))
                reasons.append(file.get_tensor("reason"))
                rows += json.loads(file.metadata()["rows"])
        self.labels, self.targets = np.concatenate(labels), np.concatenate(targets)
        self.reasons = tuple(REASONS[number] if number >= 0 else "" for number in np.concatenate(reasons))
        self.decoded = np.array([not reason for reason in self.reasons])
        self.ids = tuple(row["id"] for row in rows)
        self.groups = np.array([row["group"] or row["id"] for row in rows])

    @classmethod
    def open(cls, folder: str | os.PathLike) -> FeatureStore:
        """Open a store for reading.

        Raises:
          DataError: when there is none, when parts are missing (with the command that writes them), or one is damaged.
        """
        folder = pathlib.Path(folder)
        header = read_header(folder)
        if header is None:
            raise DataError(f"{folder} holds no features, for it has no {HEADER}; `vidjax embed` writes them")
        missing = missing_parts(folder, header)
        if missing:
            there = header.num_parts - len(missing)
            raise DataError(
                f"{folder} is not complete: {there} of its {header.num_parts} parts are there; finish it with "
                f"`{header.command(folder)}`"
            )
        return cls(folder, header)

    def __len__(self) -> int:
        return self.header.num_rows

    def array(
        self, name: str, rows: Sequence[int] | Int[np.ndarray, " n"] | None = None
    ) -> Float[np.ndarray, "*shape"]:
        """An array of all rows, or of some, float32 in memory; only the parts that hold them are read.

        Raises:
          ConfigError: when the store has no such array.
        """
        if name not in self.header.arrays:
            raise ConfigError(
                f"{self.folder} has no {name}, but {', '.join(self.header.arrays)}; write another store with --features"
            )
        wanted = np.arange(len(self)) if rows is None else np.asarray(rows, np.int64)
        found = np.empty((len(wanted), *self.header.arrays[name]), np.float32)
        parts = wanted // self.header.rows_per_part
        for part in np.unique(parts):
            chosen = parts == part
            with _part(self.folder, self.header, part) as file:
                found[chosen] = file.get_tensor(name)[wanted[chosen] - self.header.rows_of(part).start]
        return found


def check_pair(train: FeatureStore, test: FeatureStore) -> None:
    """Refuse two stores whose features do not mean the same.

    Raises:
      ConfigError: naming what differs in backbone, clips, arrays or what their rows carry, or a class or target that
        has another name.
    """
    unlike = differences(train.header, test.header, ("backbone", "annotation", "clip", "arrays"))
    if unlike:
        told = [f"{name} is {ours} in {train.folder}, {theirs} in {test.folder}" for name, ours, theirs in unlike]
        raise ConfigError(f"these features do not belong together: {'; '.join(told)}; embed both splits alike")
    names = (store.header.data["labels"] or () for store in (train, test))
    for number, (ours, theirs) in enumerate(zip(*names, strict=False)):  # one may know of more
        if ours != theirs:
            raise ConfigError(
                f"number {number} of what is told is {ours!r} in {train.folder}, {theirs!r} in {test.folder}; embed "
                "both from data sets that name their classes alike"
            )


def write_part(
    folder: pathlib.Path,
    part: int,
    arrays: dict[str, np.ndarray],
    rows: Sequence[Row],
    reasons: Sequence[str],
) -> None:
    """Write one part, which appears only when it is whole.

    Args:
      arrays: of the rows of the part, in the dtype of the store.
      rows: for their labels, targets, ids and groups.
      reasons: one of `REASONS` for a row without features, else empty.
    """
    codes = [REASONS.index(reason) if reason else -1 for reason in reasons]
    facts = {
        "label": np.array([row.label for row in rows], np.int64),
        "target": np.array([row.target for row in rows], np.float32).reshape(len(rows), -1),
        "reason": np.array(codes, np.int8),
    }
    names = [{"id": row.id, "group": row.group} for row in rows]
    about = {"rows": json.dumps(names, ensure_ascii=False)}  # one entry: several have no fixed order in the file
    write_whole(part_path(folder, part), safetensors.numpy.save({**arrays, **facts}, about))


def missing_parts(folder: pathlib.Path, header: Header) -> list[int]:
    """The parts that are not there yet."""
    return [part for part in range(header.num_parts) if not part_path(folder, part).is_file()]


def failures(folder: pathlib.Path, header: Header, parts: Sequence[int]) -> list[tuple[str, str]]:
    """Id and reason of each row of some parts that has no features."""
    found = []
    for part in parts:
        with _part(folder, header, part) as file:
            names = [row["id"] for row in json.loads(file.metadata()["rows"])]
            found += [
                (name, REASONS[code]) for name, code in zip(names, file.get_tensor("reason"), strict=True) if code >= 0
            ]
    return found


@contextlib.contextmanager
def _part(folder: pathlib.Path, header: Header, part: int) -> Generator[Any]:
    path = part_path(folder, int(part))
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            yield file
    except (safetensors.SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} is damaged ({error}); remove it and write it again with `{header.command(folder)}`"
        ) from error


def part_path(folder: pathlib.Path, part: int) -> pathlib.Path:
    """Where a part lies."""
    return folder / f"part-{part:05d}.safetensors"


def remove_leftovers(folder: pathlib.Path) -> None:
    """Remove what killed processes have left half written; nobody may be writing."""
    for path in folder.glob(DRAFTS):
        path.unlink(missing_ok=True)
