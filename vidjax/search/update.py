"""Bring an index up to date with a list of videos: embed the windows of new videos and drop removed ones."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
from collections.abc import Sequence
from typing import NamedTuple

from vidjax.config import DataConfig
from vidjax.data.clips.recipe import Windows
from vidjax.data.sources.annotations import NOTHING
from vidjax.data.sources.in_memory import InMemorySource
from vidjax.data.sources.rows import Row
from vidjax.errors import ConfigError, DataError
from vidjax.evaluation.features.extraction import (
    Backbone,
    Extraction,
    OnRow,
    clip_recipe_of,
    feature_shapes,
    steps_batch,
)
from vidjax.evaluation.features.parts import missing_parts, remove_leftovers, write_part
from vidjax.evaluation.features.window_extraction import WindowExtractor, check_windows
from vidjax.evaluation.features.writer import Split, Storage, describe
from vidjax.files import Place, located, make_folder
from vidjax.search.index_header import (
    FEATURES,
    IndexHeader,
    check_same_index,
    read_index_header,
    write_index_header,
)
from vidjax.search.index_stores import IndexStore, Live, Stamp, begin_stores, find_stores
from vidjax.training.workdir_lease import Work
from vidjax.training.workdir_lock import LOCK, locked

INDEXING = Work("indexed", "folder")


class Updated(NamedTuple):
    """The result of `update_index`.

    Attributes:
      header: the index's header.
      videos, windows: how many the index has now.
      added, moved, dropped: numbers of videos computed, renamed without being computed again, and removed.
      missing: number of parts that other processes have not written yet.
      failed: path and reason of each video of the list that has no windows.
    """

    header: IndexHeader
    videos: int
    windows: int
    added: int
    moved: int
    dropped: int
    missing: int
    failed: list[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class Indexing:
    """What to index, and how.

    Attributes:
      videos: paths of all videos that the index should have.
      words: the command-line arguments that name them.
      feature: one of `FEATURES`; empty for the first of them that the model has.
      dtype: dtype on disk, float16 or float32.
      batch: windows per step; 0 for the usual number.
      process: this process's number and the number of processes; part k of each store belongs to process k % count.
    """

    videos: Sequence[str]
    words: Sequence[str]
    feature: str = ""
    dtype: str = "float16"
    batch: int = 0
    process: tuple[int, int] = (0, 1)


def update_index(
    folder: str | os.PathLike, backbone: Backbone, indexing: Indexing, on_video: OnRow = lambda videos: None
) -> Updated:
    """Bring an index up to date, creating it if needed; the same call resumes an interrupted one.

    Args:
      backbone: the model; its clip_recipe says how windows slide over each video.
      on_video: called with the number of videos done since the last call; fractions are possible.

    Raises:
      ResumeError: if the folder holds an index whose features differ.
      ConfigError: if another process writes the index, none of the index's videos is in the list, the model lacks the
        feature, its recipe has no windows, or a window is longer than the videos.
      DataError: if a file cannot be written or is damaged, or a value is too large for float16.
    """
    place, (number, count) = located(folder), indexing.process
    header = _header(place, backbone, indexing)
    make_folder(place)
    lock = LOCK if count == 1 else f"{LOCK}-{number}-of-{count}"
    with locked(place, INDEXING, lock):
        return _Update(place, header, backbone, indexing).run(on_video)


def _header(folder: Place, backbone: Backbone, indexing: Indexing) -> IndexHeader:
    """Return the header of the index to be written, checked against what the folder holds."""
    steps_batch(indexing.batch)
    shapes = feature_shapes(backbone)
    there = [name for name in FEATURES if name in shapes]
    feature = indexing.feature or there[0]
    if feature not in there:
        raise ConfigError(
            f"{backbone.source} has no feature {feature!r} with one vector per window; it has {', '.join(there)}"
        )
    source, found, windows = _source(indexing.videos), read_index_header(folder), _windows(backbone)
    split = Split(source, DataConfig(), "index", tuple(indexing.words), windows)
    wanted = IndexHeader.of(describe(backbone, split, Storage(folder, (feature,), indexing.dtype)), indexing.words)
    if found:
        check_same_index(folder, found, wanted)
    else:
        check_windows(source, windows)
    return wanted


def _windows(backbone: Backbone) -> Windows:
    recipe = clip_recipe_of(backbone)
    if recipe.windows is None or not recipe.windows.seconds:
        raise ConfigError(f"{backbone.source} takes one clip per video; set the windows of its recipe")
    return recipe.windows


def _source(paths: Sequence[str]) -> InMemorySource:
    return InMemorySource("index", [Row(path, 0, path) for path in paths], annotation=NOTHING)


class _Update:
    """One call of `update_index`, under its lock."""

    def __init__(self, folder: Place, header: IndexHeader, backbone: Backbone, indexing: Indexing):
        self._folder, self._header, self._backbone, self._asked = folder, header, backbone, indexing
        stamps = {path: Stamp.of(path) for path in indexing.videos}
        self._wanted = {stamp.path: stamp for stamp in stamps.values() if stamp}
        self._failed = [(path, "missing") for path, stamp in stamps.items() if stamp is None]

    def run(self, on_video: OnRow) -> Updated:
        stores = find_stores(self._folder, self._header)
        self._check_overlap(stores)
        write_index_header(self._folder, self._header)
        kept, gone = self._sort(stores)
        moved = self._move(kept, gone)
        known = {entry.stamp.path for _, entry in kept}
        unfinished = [store for store in stores if not store.is_committed]
        known |= {stamp.path for store in unfinished for stamp in store.videos if stamp == self._wanted.get(stamp.path)}
        new = [stamp for path, stamp in sorted(self._wanted.items()) if path not in known]
        for _ in range(len(kept) + len(self._failed)):
            on_video(1)
        unfinished += begin_stores(self._folder, self._header, new)
        added = self._compute(unfinished, on_video)
        missing = sum(len(missing_parts(store.folder, store.header)) for store in unfinished)
        stores = find_stores(self._folder, self._header)
        kept, gone = self._sort(stores)
        self._drop(stores, kept, gone)
        failed = self._failed + [(entry.stamp.path, entry.reason) for _, entry in kept if entry.reason]
        windows = sum(entry.windows for _, entry in kept)
        videos = sum(not entry.reason for _, entry in kept)
        dropped = len({entry.stamp.path for _, entry in gone} - self._wanted.keys())
        return Updated(self._header, videos, windows, added, moved, dropped, missing, sorted(failed))

    def _check_overlap(self, stores: Sequence[IndexStore]) -> None:
        """Refuse a list that has none of the index's videos, because it would empty the index."""
        found = [entry for store in stores for entry in store.live()]
        names = {stamp.content for stamp in self._wanted.values()}
        if found and not any(entry.stamp.content in names or entry.stamp.path in self._wanted for entry in found):
            raise ConfigError(
                f"none of the {len(found)} videos of {self._folder} is among those named, so all would be dropped; "
                "name another --out, or add the indexed videos to those named"
            )

    def _sort(self, stores: Sequence[IndexStore]) -> tuple[list[tuple[IndexStore, Live]], list]:
        """Return the entries whose files are unchanged, each file once, and the others."""
        kept, gone, seen = [], [], set[str]()
        for store in stores:
            for entry in store.live():
                stays = self._wanted.get(entry.stamp.path) == entry.stamp and entry.stamp.path not in seen
                (kept if stays else gone).append((store, entry))
                if stays:
                    seen.add(entry.stamp.path)
        return kept, gone

    def _move(self, kept: list[tuple[IndexStore, Live]], gone: list[tuple[IndexStore, Live]]) -> int:
        """Update the paths of videos that were only moved; change `kept` and `gone` accordingly."""
        taken = {entry.stamp.path for _, entry in kept}
        free = collections.defaultdict[tuple, list[Stamp]](list)
        for path, stamp in sorted(self._wanted.items()):
            if path not in taken:
                free[stamp.content].append(stamp)
        changed, still = collections.defaultdict[str, list[tuple[Live, Live]]](list), []
        for store, entry in gone:
            if free[entry.stamp.content]:
                now = dataclasses.replace(entry, stamp=free[entry.stamp.content].pop(0))
                changed[os.fspath(store.folder)].append((entry, now))
                kept.append((store, now))
            else:
                still.append((store, entry))
        stores = {os.fspath(store.folder): store for store, _ in gone}
        for name, pairs in changed.items():
            instead = dict(pairs)
            stores[name].write_live([instead.get(entry, entry) for entry in stores[name].live()])
        gone[:] = still
        return sum(map(len, changed.values()))

    def _drop(self, stores: Sequence[IndexStore], kept: list, gone: list) -> None:
        """Remove missing videos from their stores."""
        for store in stores:
            if any(of is store for of, _ in gone):
                store.write_live([entry for of, entry in kept if of is store])

    def _compute(self, stores: Sequence[IndexStore], on_video: OnRow) -> int:
        """Compute this process's parts of unfinished stores; each store joins the index once all its parts exist.

        Returns:
          the number of videos computed.
        """
        if not stores:
            return 0
        number, count = self._asked.process
        source = _source([stamp.path for store in stores for stamp in store.videos])
        work, first, added = [], 0, 0
        for store in stores:
            missing = missing_parts(store.folder, store.header)
            own = [part for part in missing if part % count == number]
            rows = [store.header.rows_of(part) for part in own]
            work += [
                (store, part, range(first + of.start, first + of.stop)) for part, of in zip(own, rows, strict=True)
            ]
            first += len(store.videos)
            added += (mine := sum(map(len, rows)))
            for _ in range(len(store.videos) - mine):
                on_video(1)
        waiting = collections.Counter(os.fspath(store.folder) for store, _, _ in work)
        for store in stores:
            if not waiting[os.fspath(store.folder)]:
                self._commit(store)
        extraction = Extraction((self._header.feature,), self._header.dtype, len(source), self._asked.batch)
        data = DataConfig(threads=os.cpu_count() or 1)
        extractor = WindowExtractor(self._backbone, source, data, extraction, _windows(self._backbone))
        with contextlib.closing(extractor.blocks([rows for _, _, rows in work], on_video)) as blocks:
            for at, block in blocks:
                store, part, rows = work[at]
                named = [dataclasses.replace(source[row], video=None) for row in rows]
                write_part(store.folder, part, block.arrays, named, block.reasons, block.windows)
                waiting[os.fspath(store.folder)] -= 1
                if not waiting[os.fspath(store.folder)]:
                    self._commit(store)
        return added

    def _commit(self, store: IndexStore) -> None:
        """Add a store to the index if no other process still has parts to write."""
        if not store.is_complete or store.is_committed:
            return
        if self._asked.process[1] == 1:
            remove_leftovers(store.folder)
        try:
            changed = store.commit()
        except DataError as error:
            raise DataError(f"{error.args[0].split(';')[0]}; remove {store.folder} and index again") from error
        self._failed += [(path, "changed") for path in changed if path in self._wanted]
