"""Compute the features of a frozen backbone, in memory or into a store; the same call resumes an interrupted one."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from vidjax.config import DataConfig
from vidjax.data.clips.recipe import Windows
from vidjax.data.sources.base import VideoSource
from vidjax.errors import ConfigError, DataError
from vidjax.evaluation.features.extraction import (
    Backbone,
    Extraction,
    Extractor,
    OnRow,
    clip_recipe_of,
    feature_shapes,
    steps_batch,
)
from vidjax.evaluation.features.header import DTYPES, Header, check_same, read_header, write_header
from vidjax.evaluation.features.parts import failures, missing_parts, remove_leftovers, short_videos, write_part
from vidjax.evaluation.features.window_extraction import WindowExtractor, check_windows
from vidjax.evaluation.result_files import VideoScores
from vidjax.files import Place, located

_PART_BYTES, PART_ROWS = 2**27, (8, 256)  # maximum bytes per part; at least 8 and at most 256 rows
# With windows: the assumed length of a video, and the minimum number of parts if there are as many rows.
_USUAL_SECONDS, _WINDOWED_PARTS = 300, 16


class Written(NamedTuple):
    """The result of `write_features`.

    Attributes:
      header: the store's header.
      computed: number of rows computed now.
      missing: parts that the store still lacks; they belong to other processes.
      failed: id and reason of each row without features: in all parts or, if some are missing, in this process's parts.
      short: id and seconds of each row that is shorter than a window, in the same parts as for `failed`.
    """

    header: Header
    computed: int
    missing: list[int]
    failed: list[tuple[str, str]]
    short: list[tuple[str, float]]


@dataclasses.dataclass(frozen=True)
class Split:
    """The videos whose features are stored.

    Attributes:
      source: the videos.
      data: names their data set and sets the speed of loading: workers, threads and prefetch.
      name: name of the split.
      words: the words that name the videos on a command line; empty for a split of a data set.
      windows: how windows slide over each video, for a feature per window; None for one per video.
    """

    source: VideoSource
    data: DataConfig
    name: str
    words: tuple[str, ...] = ()
    windows: Windows | None = None


@dataclasses.dataclass(frozen=True)
class Storage:
    """The features to store, and where and how to store them.

    Attributes:
      folder: folder of the store.
      names: names from `vidjax.evaluation.features.extraction.features`; empty for all except the tokens.
      dtype: dtype on disk, float16 or float32.
      rows_per_part: 0 for 256, or fewer if 256 rows would exceed 128 MiB or, with windows, make fewer than 16 parts.
    """

    folder: str | os.PathLike
    names: Sequence[str] = ()
    dtype: str = DTYPES[0]
    rows_per_part: int = 0


def write_features(
    backbone: Backbone,
    split: Split,
    storage: Storage,
    *,
    batch: int = 0,
    process: tuple[int, int] | None = None,
    on_row: OnRow = lambda rows: None,
) -> Written:
    """Write this process's missing parts of a store; the first call creates the store.

    Args:
      backbone: the model; its clip_recipe defines how the clip of each video is taken.
      split: the videos.
      storage: where and how features are stored.
      batch: videos or windows per step over the devices of this process; 0 for 8 per device (windows on a CPU: 2).
        Another batch may change the last bits of features.
      process: this process's number and the number of processes, by default JAX's. Process k % count writes part k.
      on_row: called with 1 for each row that is done, and at once for rows that exist or belong to other processes;
        with windows, also with fractions of a row.

    Raises:
      ResumeError: if the folder has features of another backbone, other data or clips, or other arrays.
      ConfigError: for features that the model does not have, or clips that do not fit it.
      DataError: if a value is too large for float16, or a file cannot be written.
    """
    place, count = process or (jax.process_index(), jax.process_count())
    writer = StoreWriter(backbone, split, storage, batch)
    own = [part for part in writer.missing() if part % count == place]
    for _ in range(writer.header.num_rows - writer.count(own)):
        on_row(1)
    writer.write(own, on_row)
    return writer.summary(own, range(place, writer.header.num_parts, count))


class StoreWriter:
    """Create or resume a store, and write it part by part.

    It takes `backbone`, `split`, `storage` and `batch` as `write_features` does, and raises the same errors.

    Attributes:
      storage, batch: the arguments.
      folder, header: the folder and header of the store.
    """

    def __init__(self, backbone: Backbone, split: Split, storage: Storage, batch: int = 0):
        steps_batch(batch)
        self.storage, self.batch, self._source = storage, batch, split.source
        self.folder, self.header = located(storage.folder), describe(backbone, split, storage)
        most_rows = min(self.header.rows_per_part, self.header.num_rows)
        extraction = Extraction(tuple(self.header.arrays), storage.dtype, most_rows, batch)
        if split.windows:
            if read_header(self.folder) is None:
                check_windows(split.source, split.windows)
            self._extractor = WindowExtractor(backbone, split.source, split.data, extraction, split.windows)
        else:
            self._extractor = Extractor(backbone, split.source, split.data, extraction)
        _begin(self.folder, self.header)

    def missing(self) -> list[int]:
        """Return the parts that are not written yet."""
        return missing_parts(self.folder, self.header)

    def count(self, parts: Sequence[int]) -> int:
        """Return the number of rows in some parts."""
        return sum(len(self.header.rows_of(part)) for part in parts)

    def write(self, parts: Sequence[int], on_row: OnRow = lambda rows: None) -> None:
        """Write parts, each of which appears only when it is complete; `on_row` is as for `write_features`."""
        rows_of = [self.header.rows_of(part) for part in parts]
        with contextlib.closing(self._extractor.blocks(rows_of, on_row)) as blocks:
            for place, block in blocks:
                rows = [dataclasses.replace(self._source[row], video=None) for row in rows_of[place]]
                write_part(self.folder, parts[place], block.arrays, rows, block.reasons, block.windows)

    def summary(self, computed: Sequence[int], own: Sequence[int]) -> Written:
        """Summarise a call.

        Args:
          computed: the parts that were written now.
          own: the parts whose failures are reported while others are missing.
        """
        missing = self.missing()
        if not missing:
            remove_leftovers(self.folder)
        told = own if missing else range(self.header.num_parts)
        done = [part for part in told if part not in missing]
        failed = failures(self.folder, self.header, done)
        short = short_videos(self.folder, self.header, done) if self.header.windows else []
        return Written(self.header, self.count(computed), missing, failed, short)


def embed_videos(backbone: Backbone, source: VideoSource, data: DataConfig, *, batch: int = 0) -> VideoScores:
    """Compute the pooled features of all videos in memory; `data` as for `Split`, `batch` as for `Extraction`.

    Returns:
      the features as `scores` (n d), in the order of the source; a video that failed has zeros and `scored` False.
    """
    extraction = Extraction(("pooled",), "float32", len(source), batch)
    [(_, block)] = Extractor(backbone, source, data, extraction).blocks([range(len(source))])
    scored = np.array([not reason for reason in block.reasons])
    return VideoScores(block.arrays["pooled"], block.labels, scored, block.reasons)


def digest(backbone: Backbone) -> str:
    """Return a hash of the exact weights and of the spec."""
    found = hashlib.sha256(repr(backbone.spec).encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(backbone.params):
        array = np.ascontiguousarray(leaf)
        found.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        found.update(array.data)
    return found.hexdigest()[:32]


def _begin(folder: Place, header: Header) -> None:
    """Write the header into a new folder, or check the header of an existing store."""
    found = read_header(folder)
    if found is not None:
        check_same(folder, found, header)
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be created: {error.strerror}") from error
    write_header(folder, header)


def describe(backbone: Backbone, split: Split, storage: Storage) -> Header:
    """Return the header of a store of these features; nothing is computed or written.

    Raises:
      ConfigError: for features that the model does not have, or clips that do not fit it.
    """
    source, data, dtype = split.source, split.data, storage.dtype
    if dtype not in DTYPES:
        raise ConfigError(f"features are stored as {' or '.join(DTYPES)}, not as {dtype!r}")
    shapes, recipe = feature_shapes(backbone), clip_recipe_of(backbone)
    names = tuple(storage.names) or tuple(name for name in shapes if name != "tokens")
    for name in names:
        if name not in shapes:
            raise ConfigError(f"{backbone.source} has no feature {name!r}; a {backbone.family} has {', '.join(shapes)}")
    arrays = {name: shapes[name] for name in names}
    of_data: dict[str, object] = {
        "name": data.name,
        "root": list(split.words) or data.root,
        "split": split.name,
        "annotation": source.annotation,
    }
    of_data |= {"content_id": source.content_id, "num_rows": len(source), "num_classes": source.num_classes}
    side = recipe.image_size if isinstance(recipe.image_size, int) else list(recipe.image_size)
    return Header(
        backbone={"source": str(backbone.source), "family": backbone.family, "digest": digest(backbone)},
        data=of_data | {"labels": list(source.labels) if source.labels else None},
        clip={
            "num_frames": recipe.num_frames,
            "stride": recipe.stride,
            "sampling": recipe.sampling,
            "image_size": side,
            "interpolation": recipe.interpolation,
            "channels": recipe.channels,
            "mean": list(recipe.mean),
            "std": list(recipe.std),
            **({"fps": recipe.fps} if recipe.fps else {}),
            **({"segments": recipe.segments} if recipe.segments > 1 else {}),
        },
        arrays=arrays,
        rows_per_part=storage.rows_per_part or _rows_per_part(arrays, dtype, len(source), split.windows),
        dtype=dtype,
        windows={"every": split.windows.seconds, "length": split.windows.length} if split.windows else None,
    )


def _rows_per_part(arrays: dict[str, tuple[int, ...]], dtype: str, num_rows: int, windows: Windows | None) -> int:
    """Return the default number of rows per part, a power of two; with windows, for videos of a usual length."""
    row_bytes = sum(int(np.prod(shape)) for shape in arrays.values()) * np.dtype(dtype).itemsize
    fewest, most = PART_ROWS
    if windows:
        row_bytes *= max(1, round(_USUAL_SECONDS / windows.seconds))
        fewest, most = 1, min(most, max(1, num_rows // _WINDOWED_PARTS))
    return 1 << (min(max(_PART_BYTES // row_bytes, fewest), most).bit_length() - 1)
