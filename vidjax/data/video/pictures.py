"""Convert decoded frames to RGB, and track which wanted frames the decoder has returned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8

from vidjax.data.video.packet_index import PacketIndex
from vidjax.errors import VideoError

MAX_READ_BYTES = 8 << 30  # the largest result of one read


def displayed_rgb(frame: av.VideoFrame, reformatter: VideoReformatter) -> UInt8[np.ndarray, "h w 3"]:
    """Convert a frame to RGB, rotated as it is displayed."""
    picture = reformatter.reformat(frame, format="rgb24", threads=1)
    plane = picture.planes[0]
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(picture.height, plane.line_size)
    pixels = lines[:, : 3 * picture.width].reshape(picture.height, picture.width, 3)
    return np.rot90(pixels, round(frame.rotation / 90)) if frame.rotation % 360 else pixels


class MissingFrameError(Exception):
    """The decoder did not return a wanted frame, returned it twice, or marked it as damaged."""


class AwaitedFrames:
    """The frames that are wanted and not decoded yet, recognised by their presentation times.

    Attributes:
      numbers: display frame numbers of all wanted frames, by time.
      missing: numbers of those that are not decoded yet.
    """

    def __init__(self, wanted: Iterable[int], index: PacketIndex, reformatter: VideoReformatter):
        self.numbers = {index.pts[index.display[number]]: int(number) for number in wanted}
        self.missing = set(self.numbers.values())
        self._reformatter = reformatter

    def taken(self, frame: av.VideoFrame) -> Iterator[tuple[int, UInt8[np.ndarray, "h w 3"]]]:
        """Yield a decoded frame if it is wanted; one that comes a second time is an error."""
        number = self.numbers.get(frame.pts)
        if number is None:
            return
        if number not in self.missing:
            raise MissingFrameError(f"the decoder returned the frame at {frame.time} s twice")
        pixels = intact_rgb(frame, self._reformatter)
        self.missing.remove(number)
        yield number, pixels

    def check_empty(self) -> None:
        """Raise MissingFrameError if a frame is missing."""
        if self.missing:
            raise MissingFrameError(f"the decoder did not return {len(self.missing)} of {len(self.numbers)} frames")


class Pictures:
    """The wanted frames in one RGB array, collected in whatever order they are decoded.

    Attributes:
      missing: rows whose frames are not decoded yet.
    """

    def __init__(self, count: int, reformatter: VideoReformatter, where: str):
        self.missing = set(range(count))
        self._expected, self._reformatter, self._where = count, reformatter, where
        self._array: np.ndarray | None = None

    def put(self, row: int, frame: av.VideoFrame):
        """Add a decoded frame; one that comes a second time is an error."""
        if row not in self.missing:
            raise MissingFrameError(f"the decoder returned the frame at {frame.time} s twice")
        pixels = intact_rgb(frame, self._reformatter)
        if self._array is None:
            self._array = self._allocate(pixels.shape)
        check_same_size(pixels.shape, self._array.shape[1:], self._where)
        self._array[row] = pixels
        self.missing.remove(row)

    def complete(self) -> UInt8[np.ndarray, "t h w 3"]:
        """Return the array; raise MissingFrameError if a frame is missing."""
        if self._array is None or self.missing:
            raise MissingFrameError(f"the decoder did not return {len(self.missing)} of {self._expected} frames")
        return self._array

    def _allocate(self, shape: tuple[int, int, int]) -> np.ndarray:
        if self._expected * np.prod(shape) > MAX_READ_BYTES:
            size = f"{self._expected} frames of {shape[1]} x {shape[0]}"
            raise VideoError(
                "too_large", f"{size} from {self._where} exceed {MAX_READ_BYTES >> 30} GiB; read fewer at once"
            )
        return np.empty((self._expected, *shape), np.uint8)


def intact_rgb(frame: av.VideoFrame, reformatter: VideoReformatter) -> UInt8[np.ndarray, "h w 3"]:
    """Return the pixels of a frame that the decoder does not mark as damaged."""
    if frame.is_corrupt:
        raise MissingFrameError(f"the decoder marks the frame at {frame.time} s as damaged")
    return displayed_rgb(frame, reformatter)


def check_same_size(shape: tuple[int, ...], first: tuple[int, ...], where: str) -> None:
    """Raise a VideoError if a frame differs in shape from the first one."""
    if shape != first:
        raise VideoError("corrupt", f"{where} changes its size from {first[:2]} to {shape[:2]}")
