"""Search an index for the moments whose windows are nearest to a query, each moment once."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import itertools
import os
from collections.abc import Callable, Collection, Generator, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Float32, Float64, Int32

from vidjax.errors import ConfigError, DataError
from vidjax.evaluation.features.store import FeatureStore
from vidjax.files import Place, located
from vidjax.search import neighbours
from vidjax.search.approximate_file import has_approximate, read_approximate, write_approximate
from vidjax.search.index_header import EMBEDDING, FILE, IndexHeader, read_index_header
from vidjax.search.index_stores import find_stores

_FIRST = 128  # neighbours requested first
OnVideo: TypeAlias = Callable[[int], object]


class Moment(NamedTuple):
    """A part of a video that answers a query.

    Attributes:
      video: path; start, end: in seconds of the video.
      score: cosine similarity to the query, after the index's centre is subtracted from both; from -1 to 1.
      query: index of the query that it is nearest to.
    """

    video: str
    start: float
    end: float
    score: float
    query: int


@dataclasses.dataclass(frozen=True)
class SearchIndex:
    """An index in memory.

    Attributes:
      folder, header: where it is, and what its vectors have in common.
      videos: paths of the videos that have windows.
      video_of: (n,) the video of each window; times: (n, 2) its start and end in seconds.
      centre: (d,) the mean of the vectors; zeros for embeddings.
      nearest: the vectors, of unit length after the centre is subtracted.
    """

    folder: Place
    header: IndexHeader
    videos: tuple[str, ...]
    video_of: Int32[np.ndarray, " n"]
    times: Float64[np.ndarray, "n 2"]
    centre: Float32[np.ndarray, " d"]
    nearest: neighbours.Nearest

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike,
        *,
        approximate: bool = False,
        on_video: OnVideo = lambda videos: None,
    ) -> SearchIndex:
        """Read an index.

        Args:
          approximate: whether to search the clusters written by `vidjax index --approximate` instead of all windows.
          on_video: called with the number of videos read since the last call.

        Raises:
          DataError: if there is no index, it has no windows, or a file is damaged.
          ConfigError: if `approximate` is set and there are no clusters of the index's present videos.
        """
        place = located(folder)
        header = open_header(place)
        windows = _Windows.open(place, header)
        if not windows.count:
            raise DataError(f"{place} holds no windows of videos yet; finish it with `{header.command(place)}`")
        centre = windows.centre()
        if approximate:
            found = read_approximate(place, windows.revision)
            on_video(len(windows.videos))
        else:
            found = neighbours.exact(header.width, windows.count, windows.units(centre, on_video))
        video_of = np.repeat(np.arange(len(windows.videos), dtype=np.int32), windows.counts)
        return cls(place, header, windows.videos, video_of, windows.times(), centre, found)

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.video_of)

    def search(
        self,
        queries: Float[np.ndarray, "q d"],
        top: int,
        *,
        per_video: int = 0,
        without: Collection[str] = (),
    ) -> list[Moment]:
        """Find the moments nearest to any of some queries, best first.

        A window that overlaps a better one of the same video, or lies less than one stride of the index before or after
        it, shows the same moment and is left out. The moment has the time of its best window.

        Args:
          queries: vectors of any length except 0, as the model computes them.
          top: maximum number of moments.
          per_video: maximum number of moments per video; 0 for any number.
          without: paths of videos to leave out.
        """
        units, count = unit(np.asarray(queries, np.float32) - self.centre), min(len(self), max(_FIRST, 4 * top))
        ignored = set(np.flatnonzero(np.isin(self.videos, list(map(os.path.abspath, without)))).tolist())
        while True:
            scores, numbers = self.nearest.search(units, count)
            found = _Found(scores, numbers, whole=count == len(self) or bool((numbers < 0).any()))
            moments = list(itertools.islice(self._moments(found, ignored, per_video), top))
            if found.whole or len(moments) == top:
                return moments
            count = min(len(self), 4 * count)

    def _moments(self, found: _Found, ignored: Collection[int], per_video: int) -> Iterator[Moment]:
        """Yield the moments among some neighbours, best first."""
        every = self.header.windows["every"]
        chosen = collections.defaultdict[int, list[tuple[float, float]]](list)
        for score, number, query in found.best_first():
            video, (start, end) = int(self.video_of[number]), self.times[number].tolist()
            own = chosen[video]
            if video in ignored or len(own) == (per_video or len(self)):
                continue
            if any(start < others_end + every and others_start < end + every for others_start, others_end in own):
                continue
            own.append((start, end))
            yield Moment(self.videos[video], start, end, score, query)


class _Found(NamedTuple):
    """The neighbours of some queries.

    Attributes:
      scores, numbers: (q, k), best first; the number is -1 where there are fewer than k.
      whole: whether there are no others.
    """

    scores: np.ndarray
    numbers: np.ndarray
    whole: bool

    def best_first(self) -> Iterator[tuple[float, int, int]]:
        """Yield score, number and query, as long as no window outside the neighbours could have a better score."""
        least = -np.inf if self.whole else self.scores[:, -1].max()
        certain = (self.numbers >= 0) & (self.scores >= least)
        query, _ = np.nonzero(certain)
        scores, numbers = self.scores[certain], self.numbers[certain]
        for at in np.argsort(-scores, kind="stable").tolist():
            yield float(scores[at]), int(numbers[at]), int(query[at])


def write_clusters(folder: str | os.PathLike) -> None:
    """Write the clusters for approximate search in an index, unless those of its current windows exist.

    Raises:
      DataError: if the index is damaged or has no windows, or a file cannot be written.
    """
    place = located(folder)
    windows = _Windows.open(place, open_header(place))
    if has_approximate(place, windows.revision):
        return
    if not windows.count:
        raise DataError(f"{place} holds no windows of videos, so there is nothing to cluster")
    vectors = [block.astype(np.float16) for block in windows.units(windows.centre())]
    write_approximate(place, windows.revision, np.concatenate(vectors))


def open_header(folder: Place) -> IndexHeader:
    """Read the header of an index.

    Raises:
      DataError: if there is no index in the folder, or its header cannot be read.
    """
    header = read_index_header(folder)
    if header is None:
        raise DataError(f"{folder} is not an index, since it has no {FILE}; `vidjax index` writes one")
    return header


def unit(vectors: Float[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
    """Scale vectors to length 1; a zero vector stays as it is."""
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


@dataclasses.dataclass(frozen=True)
class _Windows:
    """The windows of an index on disk, store by store.

    Attributes:
      revision: a hash that changes with the windows or their order.
      videos: paths of the videos that have windows; counts: the number of windows of each.
      stores: the feature stores that hold them; rows: their rows in each.
    """

    folder: Place
    header: IndexHeader
    revision: str
    videos: tuple[str, ...]
    counts: tuple[int, ...]
    stores: tuple[FeatureStore, ...]
    rows: tuple[tuple[int, ...], ...]

    @classmethod
    def open(cls, folder: Place, header: IndexHeader) -> _Windows:
        found, revision, stores = [], hashlib.sha256(), []
        for store in find_stores(folder, header):
            live = sorted((entry for entry in store.live() if not entry.reason), key=lambda entry: entry.row)
            if live:
                with _reading(folder, header, store.folder):
                    stores.append(FeatureStore.open(store.folder))
                found.append(live)
                revision.update(f"{store.folder.name} {[entry.row for entry in live]}\n".encode())
        entries = [entry for live in found for entry in live]
        videos, counts = tuple(entry.stamp.path for entry in entries), tuple(entry.windows for entry in entries)
        rows = tuple(tuple(entry.row for entry in live) for live in found)
        return cls(folder, header, revision.hexdigest()[:16], videos, counts, tuple(stores), rows)

    @property
    def count(self) -> int:
        """The number of windows."""
        return sum(self.counts)

    def times(self) -> Float64[np.ndarray, "n 2"]:
        """Return the start and end of each window."""
        pairs = zip(self.stores, self.rows, strict=True)
        return np.concatenate([store.times(row) for store, rows in pairs for row in rows])

    def centre(self) -> Float32[np.ndarray, " d"]:
        """Return the mean of the vectors, the part that all windows share; zeros for embeddings.

        The space of embeddings is trained for cosines, so it stays as it is.
        """
        if self.header.feature == EMBEDDING:
            return np.zeros(self.header.width, np.float32)
        return (sum(block.sum(axis=0, dtype=np.float64) for block in self._blocks()) / self.count).astype(np.float32)

    def units(
        self, centre: Float32[np.ndarray, " d"], on_video: OnVideo = lambda videos: None
    ) -> Iterator[Float32[np.ndarray, "n d"]]:
        """Yield the vectors of each store, of unit length after the centre is subtracted."""
        for block, rows in zip(self._blocks(), self.rows, strict=True):
            yield unit(block - centre)
            on_video(len(rows))

    def _blocks(self) -> Iterator[Float32[np.ndarray, "n d"]]:
        for store, rows in zip(self.stores, self.rows, strict=True):
            with _reading(self.folder, self.header, store.folder):
                block = store.array(self.header.feature, rows)
            yield block


@contextlib.contextmanager
def _reading(folder: Place, header: IndexHeader, store: Place) -> Generator[None]:
    """Add the remedy to the error of a damaged store."""
    try:
        yield
    except (DataError, ConfigError) as error:
        raise DataError(f"{store} is damaged; remove it and run `{header.command(folder)}`") from error
