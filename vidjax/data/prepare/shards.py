"""One ArrayRecord file of a prepared data set: written whole or not at all, with a note of its contents beside it.

A shard with a note is finished, and a resumed preparation continues with the others. Rows are assigned to shards in a
shuffled order that depends only on the number of rows, so that the files are the same for any number of threads or
machines. Two machines may write the same shard, each to its own draft; the last to finish replaces an equal file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Generator, Iterator
from typing import Any

import numpy as np
from jaxtyping import Int64

from vidjax.data.prepare.codec import Storing
from vidjax.data.sources.annotated_videos import AnnotatedVideos
from vidjax.data.sources.annotations import LABEL
from vidjax.data.sources.base import VideoSource
from vidjax.errors import DataError, VideoError
from vidjax.files import Place, drafted, located, write_json

_WRITER_OPTIONS = "group_size:1,uncompressed"  # one record per group; videos do not compress further
_progress: list[Callable[[str], None]] = []  # called for each video that this process has handled; see `listening`


@dataclasses.dataclass(frozen=True)
class Shard:
    """A shard to be written; small, since it is sent to the machines of a cluster.

    Attributes:
      split, number, count: it is shard `number`, from 0, of the `count` shards of a split.
      size: number of videos in the split.
      folder: where it is written, on a disk or in a bucket.
    """

    split: str
    number: int
    count: int
    size: int
    folder: str

    @property
    def rows(self) -> Int64[np.ndarray, " videos"]:
        """The source's rows in this shard, in the order of the records; shards are as equal in size as possible."""
        return np.array_split(_order(self.size), self.count)[self.number]

    @property
    def path(self) -> Place:
        return located(self.folder) / f"{self.split}-{self.number:05d}"

    @property
    def note(self) -> Place:
        return self.path.with_suffix(".json")


@dataclasses.dataclass(frozen=True)
class Note:
    """The contents of a finished shard.

    Attributes:
      labels, rows: the label and the source's row of each record, in order.
      num_bytes: total size of the records.
      failures: videos that could not be stored.
    """

    labels: list[int]
    rows: list[int]
    num_bytes: int
    failures: list[dict[str, Any]]


def plan(sizes: dict[str, int], folder: str, videos_per_shard: int) -> list[Shard]:
    """The shards of all splits.

    Args:
      sizes: number of videos per split.
    """
    counts = {split: -(-size // videos_per_shard) for split, size in sizes.items()}
    return [
        Shard(split, number, count, sizes[split], folder) for split, count in counts.items() for number in range(count)
    ]


@functools.lru_cache(maxsize=8)
def _order(size: int) -> Int64[np.ndarray, " videos"]:
    return np.random.default_rng(0).permutation(size)


def write_shard(shard: Shard, source: VideoSource, storing: Storing, features: Any) -> Note:
    """Write a shard unless it is finished.

    Args:
      features: TFDS features of a record.

    Raises:
      DataError: when it cannot be written; nothing of it is left behind.
    """
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.core.example_serializer import ExampleSerializer

    if is_written(shard):
        for _ in shard.rows:
            _tell(shard.split)
        return read_note(shard)
    serializer = ExampleSerializer(features.get_serialized_info())
    note, size = Note([], [], 0, []), 0
    with drafted(shard.path) as draft, _as_sentence(shard.path):
        writer = ArrayRecordWriter(str(draft), _WRITER_OPTIONS)
        for index, label, example in _examples(shard, source, storing, note.failures):
            record = serializer.get_tf_example(features.encode_example(example)).SerializeToString(deterministic=True)
            writer.write(record)
            if not writer.ok():  # close() raises an error with the reason
                break
            note.labels.append(label)
            note.rows.append(index)
            size += len(record)
        writer.close()
    note = dataclasses.replace(note, num_bytes=size)
    write_json(shard.note, dataclasses.asdict(note))
    return note


@contextlib.contextmanager
def _as_sentence(path: Place) -> Generator[None]:
    """Turn ArrayRecord's error about a disk into a message."""
    try:
        yield
    except RuntimeError as error:
        raise DataError(
            f"{path} cannot be written: {str(error).split(';')[0]}; check that its folder exists, is writable and has "
            "room, and run the same command again"
        ) from error


def is_written(shard: Shard) -> bool:
    """Whether a shard is finished."""
    return shard.note.exists()


def read_note(shard: Shard) -> Note:
    """Read the note of a finished shard."""
    return Note(**json.loads(shard.note.read_text()))


class listening:
    """While open, call a function with the split of each video that this process has handled, stored or not."""

    def __init__(self, on_video: Callable[[str], None]):
        self._on_video = on_video

    def __enter__(self):
        _progress.append(self._on_video)

    def __exit__(self, *exception):
        _progress.remove(self._on_video)


def _tell(split: str) -> None:
    for on_video in _progress:
        on_video(split)


def _examples(
    shard: Shard, source: VideoSource, storing: Storing, failures: list
) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield row, label and contents of each record; a video that cannot be read becomes a failure instead."""
    for index in shard.rows.tolist():
        row = source[index]
        try:
            video, info = storing.store(row)
        except VideoError as error:
            failures.append({"split": shard.split, "id": row.id, "reason": error.reason, "detail": error.detail})
            continue
        finally:
            _tell(shard.split)
        size = {"num_frames": info.frames, "fps": info.fps, "height": info.height, "width": info.width}
        known = {"label": row.label} if source.annotation == LABEL else {}
        if isinstance(source, AnnotatedVideos):
            known = {"about": json.dumps(source.videos[index].about, ensure_ascii=False)}
        yield index, row.label, {"video": video, "id": row.id, **known, **size}
