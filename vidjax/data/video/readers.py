"""Read videos stored as files, as folders of images (AFEW-VA, Jester) or in records, through one interface."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from vidjax.data.video.container import describe
from vidjax.data.video.decode import FrameNumbers, Video, VideoInfo
from vidjax.errors import VideoError


@dataclass(frozen=True)
class FrameWindow:
    """`count` consecutive frames of a folder, from frame `first` on; beyond its ends, its first and last frames repeat.

    Attributes:
      names: the image files of the whole video in order; rows of one video share them.
      first: may be negative.
      fps: frames per second.
    """

    folder: str
    names: tuple[str, ...]
    first: int
    count: int
    fps: float

    def path(self, index: int) -> str:
        """The image file of a frame of the window."""
        return os.path.join(self.folder, self.names[min(max(self.first + index, 0), len(self.names) - 1)])


@dataclass(frozen=True)
class StoredVideo:
    """A video in prepared records, read when it is opened; or `count` of its frames, from frame `first` on.

    Attributes:
      records: all records of a split; number: the index of this one.
      first: may be negative; the video's first and last frames repeat beyond its ends.
      count: 0 for the whole video.
    """

    records: Sequence[Mapping[str, Any]] = field(repr=False, compare=False)
    number: int
    first: int = 0
    count: int = 0

    def load(self) -> bytes:
        """The bytes of the whole video.

        Raises:
          VideoError: as `read_record`.
        """
        return bytes(read_record(self.records, self.number)["video"])


def read_record(records: Sequence[Mapping[str, Any]], number: int) -> Mapping[str, Any]:
    """Read one record; each has a hash, so that a flipped bit is detected here.

    Raises:
      VideoError: corrupt, when the record cannot be read.
    """
    try:
        return records[number]
    except Exception as error:  # ArrayRecord's RuntimeError for a wrong hash, or an error of protobuf or TFDS
        raise VideoError("corrupt", f"record {number} of the prepared data set cannot be read: {error}") from error


VideoPlace = str | os.PathLike | bytes | FrameWindow | StoredVideo


class OpenVideo(Protocol):
    """A video opened for reading: `frames` frames at `fps` per second, shown at `times` in seconds."""

    @property
    def frames(self) -> int: ...

    @property
    def fps(self) -> float: ...

    @property
    def times(self) -> Float[np.ndarray, " frames+1"]: ...

    @property
    def info(self) -> VideoInfo: ...

    def read(self, indices: FrameNumbers) -> UInt8[np.ndarray, "t h w 3"]: ...

    def iterate(self, indices: FrameNumbers) -> Iterator[tuple[int, UInt8[np.ndarray, "h w 3"]]]:
        """Yield the number and the RGB of each wanted frame, once."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


def open_video(source: VideoPlace, *, open_ended: bool = True) -> OpenVideo:
    """Open a video for reading, as a context manager.

    Args:
      open_ended: whether to accept a file whose format does not define where it ends, so that it may have been cut.

    Raises:
      VideoError: when it cannot be opened, or is open-ended and that is not accepted.
    """
    if isinstance(source, FrameWindow):
        return FrameVideo(source)
    if not isinstance(source, StoredVideo):
        return _closed_end(Video(source), describe(source), open_ended)
    video = _closed_end(Video(source.load()), f"record {source.number} of the prepared data set", open_ended)
    return StretchOfVideo(video, source.first, source.count) if source.count else video


def _closed_end(video: Video, where: str, open_ended: bool) -> Video:
    if not video.open_ended or open_ended:
        return video
    video.close()
    raise VideoError(
        "open_ended",
        f"{where} may have been cut off: raw streams, MPEG-TS, MPEG-PS and unfinished recordings do not "
        "mark their end. If it is whole, list its checksum (vidjax check DIR --write-checksums); training also "
        "accepts it with data.open_ended=True",
    )


class StretchOfVideo:
    """`count` consecutive frames of a video, from frame `first`; beyond its ends, its first and last frames repeat."""

    def __init__(self, video: Video, first: int, count: int):
        self._video, self._first = video, first
        self.frames, self.fps = count, video.fps

    def __enter__(self) -> StretchOfVideo:
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        """Release the video."""
        self._video.close()

    @property
    def times(self) -> Float[np.ndarray, " frames+1"]:
        """Seconds at which frames are shown, and at which the last one ends."""
        return np.arange(self.frames + 1) / self.fps

    @property
    def info(self) -> VideoInfo:
        """Size and rate of the video, with the stretch's own length."""
        return replace(self._video.info, frames=self.frames, duration=self.frames / self.fps)

    def read(self, indices: FrameNumbers) -> UInt8[np.ndarray, "t h w 3"]:
        """Frames as RGB.

        Raises:
          VideoError: when one cannot be decoded.
        """
        return self._video.read(self._numbers(np.asarray(indices)))

    def iterate(self, indices: FrameNumbers) -> Iterator[tuple[int, UInt8[np.ndarray, "h w 3"]]]:
        """Yield the number and the RGB of each wanted frame, once.

        Raises:
          VideoError: when one cannot be decoded.
        """
        own = np.unique(indices)
        numbers = self._numbers(own)
        for number, pixels in self._video.iterate(numbers):
            for index in own[numbers == number]:
                yield int(index), pixels

    def _numbers(self, indices: np.ndarray) -> np.ndarray:
        """Return the numbers of these frames in the whole video."""
        return np.clip(indices + self._first, 0, self._video.frames - 1)


class FrameVideo:
    """A `FrameWindow` with the interface of `vidjax.data.video.decode.Video`."""

    def __init__(self, source: FrameWindow):
        self._source = source
        self.frames, self.fps = source.count, source.fps

    def __enter__(self) -> FrameVideo:
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        """Do nothing: no file is held open."""

    @property
    def times(self) -> Float[np.ndarray, " frames+1"]:
        """Seconds at which frames are shown, and at which the last one ends."""
        return np.arange(self.frames + 1) / self.fps

    @property
    def info(self) -> VideoInfo:
        """Properties of the window; reads the first frame for its size."""
        height, width = self.read([0]).shape[1:3]
        return VideoInfo(self.frames, self.fps, height, width, self.frames / self.fps)

    def read(self, indices: FrameNumbers) -> UInt8[np.ndarray, "t h w 3"]:
        """Frames as RGB, each file read once.

        Raises:
          VideoError: missing, or corrupt, which includes images of different sizes.
        """
        paths = [self._source.path(int(index)) for index in indices]
        pictures = {path: _picture(path) for path in dict.fromkeys(paths)}
        sizes = {picture.shape[:2]: path for path, picture in pictures.items()}
        if len(sizes) > 1:
            raise VideoError("corrupt", f"{' and '.join(sizes.values())} have different sizes")
        return np.stack([pictures[path] for path in paths])

    def iterate(self, indices: FrameNumbers) -> Iterator[tuple[int, UInt8[np.ndarray, "h w 3"]]]:
        """Yield the number and the RGB of each wanted frame, once.

        Raises:
          VideoError: as in `read`.
        """
        own = np.unique(indices)
        yield from zip(own.tolist(), self.read(own), strict=True)


def _picture(path: str) -> UInt8[np.ndarray, "h w 3"]:
    if not os.path.isfile(path):
        raise VideoError("missing", f"{path} cannot be found")
    picture = cv2.imread(path, cv2.IMREAD_COLOR)
    if picture is None:
        raise VideoError("corrupt", f"{path} cannot be read as a picture")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
