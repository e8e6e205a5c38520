"""Keep decoded frames in memory, so that a small set of videos is decoded once instead of every epoch."""

from __future__ import annotations

import os
import threading
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8

from vidjax.data.video.decode import FrameNumbers, VideoInfo
from vidjax.data.video.readers import OpenVideo, StoredVideo, VideoPlace, open_video


class FrameCache:
    """A store of decoded frames, up to a number of bytes; thread-safe.

    Only requested frames are decoded, and nothing is evicted: if the videos do not fit, the cache serves a fixed part
    of them, whatever the order of requests.

    Attributes:
      limit: the number of bytes that it may keep; kept_bytes: the number that it keeps.
    """

    def __init__(self, limit: int, *, open_ended: bool = True):
        """Start empty; with a `limit` of 0 bytes, nothing is kept.

        Args:
          open_ended: as for `open_video`.
        """
        self.limit, self.kept_bytes, self.open_ended = limit, 0, open_ended
        self._videos: dict[Hashable, _Kept] = {}
        self._lock = threading.Lock()

    def open(self, place: VideoPlace) -> OpenVideo:
        """Open a video for reading, like `open_video`.

        Raises:
          VideoError: when it cannot be opened, either now or later, when a frame that is not kept is read.
        """
        if kept := self._videos.get(_key(place)):
            return _CachedVideo(self, place, kept)
        video = open_video(place, open_ended=self.open_ended)
        return _CachedVideo(self, place, _Kept(video.frames, video.fps), video) if self.limit else video

    @property
    def bytes_per_video(self) -> float:
        """Mean number of bytes that all frames of a video take, judged by the videos kept so far; 0 without any."""
        sizes = [kept.frames * next(iter(kept.frames_by_number.values())).nbytes for kept in self._videos.values()]
        return sum(sizes) / max(len(sizes), 1)

    def keep(self, place: VideoPlace, kept: _Kept, numbers: FrameNumbers, frames: UInt8[np.ndarray, "t h w 3"]):
        """Keep newly decoded frames if all of them fit; another thread may have kept some of them meanwhile."""
        with self._lock:
            kept = self._videos.get(_key(place), kept)
            new = np.isin(numbers, list(kept.frames_by_number), invert=True)
            frames = frames if new.all() else frames[new]  # a copy, so that the others take up no memory
            if self.kept_bytes + frames.nbytes > self.limit:
                return
            self.kept_bytes += frames.nbytes
            self._videos[_key(place)] = kept
            kept.frames_by_number.update(zip(np.asarray(numbers)[new].tolist(), frames, strict=True))


def _key(place: VideoPlace) -> Hashable:
    """A key unique to a video; records of different splits reuse numbers."""
    if isinstance(place, StoredVideo):
        return id(place.records), place
    return os.fspath(place) if isinstance(place, os.PathLike) else place


@dataclass
class _Kept:
    """The known parts of a video: number of frames, frames per second, kept frames by number, times if asked for."""

    frames: int
    fps: float
    frames_by_number: dict[int, np.ndarray] = field(default_factory=dict)
    times: Float[np.ndarray, " frames+1"] | None = None


class _CachedVideo:
    """A video that is opened only when a frame that is not kept is needed."""

    def __init__(self, cache: FrameCache, place: VideoPlace, kept: _Kept, video: OpenVideo | None = None):
        self._cache, self._place, self._kept, self._video = cache, place, kept, video
        self.frames, self.fps = kept.frames, kept.fps

    def __enter__(self) -> _CachedVideo:
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        """Release the file, if it was opened."""
        if self._video:
            self._video.close()

    @property
    def info(self) -> VideoInfo:
        """Properties of the video; opens the file."""
        return self._opened().info

    @property
    def times(self) -> Float[np.ndarray, " frames+1"]:
        """Seconds at which frames are shown, and at which the last one ends; opens the file if they are not known."""
        if self._kept.times is None:
            self._kept.times = self._opened().times
        return self._kept.times

    def read(self, indices: FrameNumbers) -> UInt8[np.ndarray, "t h w 3"]:
        """Display frames as RGB, in a new array.

        Raises:
          VideoError: when one cannot be decoded.
        """
        numbers = np.asarray(indices).tolist()
        found = dict(self._kept.frames_by_number)
        if missing := sorted(set(numbers) - found.keys()):
            decoded = self._opened().read(missing)
            found.update(zip(missing, decoded, strict=True))
            self._cache.keep(self._place, self._kept, missing, decoded)
        return np.stack([found[number] for number in numbers])

    def iterate(self, indices: FrameNumbers) -> Iterator[tuple[int, UInt8[np.ndarray, "h w 3"]]]:
        """Yield the number and the RGB of each wanted frame, once; opens the file.

        Raises:
          VideoError: when one cannot be decoded.
        """
        return self._opened().iterate(indices)

    def _opened(self) -> OpenVideo:
        if self._video is None:
            self._video = open_video(self._place, open_ended=self._cache.open_ended)
        return self._video
