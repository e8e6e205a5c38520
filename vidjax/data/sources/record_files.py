"""Read the records of a split from their ArrayRecord files, with few files open at a time.

array_record's own data source keeps open every file that it has read from. Ten million videos, 256 per file, are
39,000 files, but a process may usually open only about a thousand.
"""

from __future__ import annotations

import collections
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

MOST_OPEN = 256  # files per process
_OPTIONS = {"options": "readahead_buffer_size:0", "file_reader_buffer_size": 2**15}  # as in array_record's data source


class RecordFiles(Sequence[Mapping[str, Any]]):
    """Decoded records by number; thread-safe, and cheap to send to loader processes."""

    def __init__(self, info: tfds.core.DatasetInfo, split: str):
        """Store where the files are, without opening any.

        Raises:
          ValueError: when they are not ArrayRecord files.
        """
        if info.file_format is None or info.file_format.value != "array_record":
            raise ValueError(f"its files are {info.file_format and info.file_format.value}, not array_record")
        files = info.splits[split].file_instructions
        self._features = info.features
        self._paths, self._ends = [file.filename for file in files], np.cumsum([file.take for file in files])
        self._open = collections.OrderedDict[int, ArrayRecordReader]()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...

    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | Sequence[Mapping[str, Any]]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        file = int(np.searchsorted(self._ends, index, side="right"))
        first = int(self._ends[file - 1]) if file else 0
        (record,) = self._reader(file).read([index - first])
        return self._features.deserialize_example_np(record)

    def _reader(self, file: int) -> ArrayRecordReader:
        with self._lock:
            if file in self._open:
                self._open.move_to_end(file)
                return self._open[file]
        reader = ArrayRecordReader(self._paths[file], **_OPTIONS)
        with self._lock:
            self._open[file] = reader
            while len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)  # closed once no thread reads from it
        return reader

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_open", "_lock")}

    def __setstate__(self, state: dict[str, Any]):
        vars(self).update(state)
        self._open, self._lock = collections.OrderedDict(), threading.Lock()
