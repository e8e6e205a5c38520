"""Search in an index: the moments whose windows are nearest to a query, each moment once."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import itertools
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Float32, Float64, Int32

from vidjax.errors import ConfigError, DataError
from vidjax.evaluation.features.store import FeatureStore
from vidjax.files import Place, located
from vidjax.search import neighbours
from vidjax.search.approximate_file import has_approximate, read_approximate, write_approximate
from vidjax.search.index_header import FILE, IndexHeader, read_index_header
from vidjax.search.index_stores import IndexStore, Live, find_stores

_FIRST = 128  # neighbours asked for at first
Stores: TypeAlias = Sequence[tuple[IndexStore, Sequence[Live]]]  # with the videos that have windows
OnVideo: TypeAlias = Callable[[int], object]


class Moment(NamedTuple):
    """A part of a video that answers a query.

    Attributes:
      video: path; start, end: in seconds of the video.
      score: cosine similarity, from -1 to 1.
      query: the window of the query that it is similar to, among those given.
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
      nearest: its vectors, of unit length.
    """

    folder: Place
    header: IndexHeader
    videos: tuple[str, ...]
    video_of: Int32[np.ndarray, " n"]
    times: Float64[np.ndarray, "n 2"]
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
        stores = _stores(place)
        entries = [entry for _, live in stores for entry in live]
        if not entries:
            raise DataError(f"{place} holds no windows of videos yet; finish it with `{header.command(place)}`")
        counts = np.array([entry.windows for entry in entries])
        times: list[np.ndarray] = []
        blocks = _blocks(place, header, stores, times, on_video)
        if approximate:
            found = read_approximate(place, revision(stores))
            for _ in blocks:  # for the times
                pass
        else:
            found = neighbours.exact(header.width, int(counts.sum()), blocks)
        video_of = np.repeat(np.arange(len(entries), dtype=np.int32), counts)
        videos = tuple(entry.stamp.path for entry in entries)
        return cls(place, header, videos, video_of, np.concatenate(times), found)

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

        A window that overlaps a better one of the same video, or begins less than one stride of the index after it ends
        or before it begins, shows the same moment and is left out. The moment has the time of its best window.

        Args:
          queries: vectors of any length except 0, as the model computes them.
          top: most moments.
          per_video: most moments of one video; 0 for any number.
          without: paths of videos to leave out.
        """
        units, count = unit(queries), min(len(self), max(_FIRST, 4 * top))
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
      scores, numbers: (q, k), best first; the number is -1 where there are fewer.
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
    """Write the clusters for approximate search in an index, unless it has those of its present windows.

    Raises:
      DataError: if the index is damaged or has no windows, or a file cannot be written.
    """
    place = located(folder)
    header, stores = open_header(place), _stores(place)
    if has_approximate(place, revision(stores)):
        return
    vectors = [block.astype(np.float16) for block in _blocks(place, header, stores, [], lambda videos: None)]
    if not vectors:
        raise DataError(f"{place} holds no windows of videos, so there is nothing to cluster")
    write_approximate(place, revision(stores), np.concatenate(vectors))


def open_header(folder: Place) -> IndexHeader:
    """Read the header of an index.

    Raises:
      DataError: if there is no index in the folder.
    """
    header = read_index_header(folder)
    if header is None:
        raise DataError(f"{folder} is not an index, since it has no {FILE}; `vidjax index` writes one")
    return header


def revision(stores: Stores) -> str:
    """Return a hash that changes with the windows of an index or their order."""
    found = hashlib.sha256()
    for store, live in stores:
        found.update(f"{store.folder.name} {[entry.row for entry in live]}\n".encode())
    return found.hexdigest()[:16]


def unit(vectors: Float[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
    """Scale vectors to length 1; one of only zeros stays as it is."""
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _stores(folder: Place) -> Stores:
    """Return the stores of an index, with their videos that have windows, in the order of rows."""
    return [
        (store, sorted((entry for entry in store.live() if not entry.reason), key=lambda entry: entry.row))
        for store in find_stores(folder)
    ]


def _blocks(
    folder: Place, header: IndexHeader, stores: Stores, times: list[np.ndarray], on_video: OnVideo
) -> Iterator[np.ndarray]:
    """Yield the unit vectors of each store, and append the times of their windows."""
    for store, live in stores:
        if not live:
            continue
        try:
            features = FeatureStore.open(store.folder)
            rows = [entry.row for entry in live]
            vectors = features.array(header.feature, rows)
        except (DataError, ConfigError) as error:
            raise DataError(f"{store.folder} is damaged; remove it and run `{header.command(folder)}`") from error
        times += [features.times(row) for row in rows]
        on_video(len(live))
        yield unit(vectors)
