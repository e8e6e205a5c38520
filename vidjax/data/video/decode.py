"""Decode exact display frames from video files, or raise an error that says why not (strict, single-threaded PyAV).

Packets are indexed by presentation time before anything is decoded, so that a frame number always means the same
picture and a file that ends early is detected. Decoding starts at a key frame and skips unwanted pictures that no other
picture refers to. If that fails, the stream is decoded once more from its start before an error is raised.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import Float, Int64, UInt8

from vidjax.data.video.checked_file import CheckedFile
from vidjax.data.video.container import check_size, decoder_options, describe, open_container, reading, video_stream
from vidjax.data.video.packet_index import PacketIndex
from vidjax.data.video.pictures import AwaitedFrames, MissingFrameError, Pictures, check_same_size, intact_rgb
from vidjax.data.video.truncation import find_ending, is_cut_off
from vidjax.errors import VideoError

FrameNumbers = Sequence[int] | np.ndarray  # integers
_CUT = "the file is incomplete; get another copy of it"
_SKIPPABLE = {"h264"}  # codecs that mark the pictures to which no other refers, so that these can be skipped


@dataclass(frozen=True)
class VideoInfo:
    """The number of display frames, frames per second, displayed size in pixels, and duration in seconds of a video.

    Example:
      >>> info = vidjax.data.probe_video("video.mp4")
      >>> info.frames / info.fps == info.duration
      True
    """

    frames: int
    fps: float
    height: int
    width: int
    duration: float


def probe_video(source: str | os.PathLike | bytes) -> VideoInfo:
    """Index a video and decode only its first frame.

    Args:
      source: a path or the bytes of a file.

    Raises:
      VideoError: its `reason` is one of missing, empty, not_video, no_video_stream, truncated, corrupt, too_large.

    Example:
      >>> vidjax.data.probe_video("video.mp4")
      VideoInfo(frames=40, fps=25.0, height=96, width=128, duration=1.6)
    """
    with Video(source) as video:
        return video.info


def read_frames(source: str | os.PathLike | bytes, indices: FrameNumbers) -> UInt8[np.ndarray, "t h w 3"]:
    """Decode exact display frames as RGB.

    Args:
      source: a path or the bytes of a file.
      indices: display frame numbers from 0, in any order, repeats allowed.

    Raises:
      VideoError: when a frame cannot be decoded exactly; its `reason` is as in `probe_video`.
      IndexError: when `indices` is empty, or holds a negative number or one past the last frame.

    Example:
      >>> frames = vidjax.data.read_frames("video.mp4", [0, 8, 16, 39])
      >>> frames.shape, frames.dtype
      ((4, 96, 128, 3), dtype('uint8'))
      >>> vidjax.data.read_frames("gone.mp4", [0])
      Traceback (most recent call last):
      vidjax.errors.VideoError: missing: gone.mp4 ...
    """
    with Video(source) as video:
        return video.read(indices)


class Video:
    """An opened video; each `read` decodes every wanted frame once, however often it is requested.

    Attributes:
      frames: the number of display frames.
      open_ended: True if neither the container nor a checksum defines where the file ends, so that a cut may go
        unnoticed.

    Example:
      >>> with vidjax.data.Video("video.mp4") as video:
      ...     last = video.read([video.frames - 1])
      >>> last.shape
      (1, 96, 128, 3)
    """

    def __init__(self, source: str | os.PathLike | bytes):
        """Open a path or the bytes of a file; a `CheckedFile` is first compared with its checksum.

        Raises:
          VideoError: as in `probe_video`.
        """
        self._where, checked = describe(source), isinstance(source, CheckedFile)
        if isinstance(source, CheckedFile):
            source = source.verified()
        try:
            self._open(source)
        except VideoError as error:
            if error.reason in ("corrupt", "no_video_stream", "not_video") and is_cut_off(source):
                raise VideoError("truncated", f"{error.detail}; {_CUT}") from error
            raise
        self.open_ended = self.open_ended and not checked
        self.frames = len(self._index.display)
        self._reformatter = VideoReformatter()

    def _open(self, source: str | os.PathLike | bytes):
        self._container = open_container(source, self._where)
        try:
            with reading(self._where):
                self._stream = video_stream(self._container, self._where)
                ending = find_ending(source)
                self.open_ended = ending.open
                if ending.cut and not ending.counted:
                    raise VideoError("truncated", f"{self._where}: {_CUT}")
                self._context = self._stream.codec_context
                self._context.thread_type, self._context.thread_count = "NONE", 1
                self._context.options = {"err_detect": "explode"} | decoder_options()
                self._index = PacketIndex(source, self._where, self._container, self._stream)
        except BaseException:  # close the file and re-raise
            self._container.close()
            raise

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        """Release the file and the decoder."""
        self._index.close()
        self._container.close()

    @functools.cached_property
    def info(self) -> VideoInfo:
        """Properties of the video; decodes its first frame, which alone gives the size and the rotation."""
        height, width = self.read([0]).shape[1:3]
        seconds = self._index.seconds(self._stream)
        return VideoInfo(self.frames, self.fps, height, width, seconds or self.frames / self.fps)

    @functools.cached_property
    def fps(self) -> float:
        """Average frames per second; decodes nothing."""
        with reading(self._where):
            rate = float(self._stream.average_rate or self._stream.guessed_rate or 0)
            return rate or self.frames / max(self._index.seconds(self._stream), 1e-6)

    @functools.cached_property
    def times(self) -> Float[np.ndarray, " frames+1"]:
        """Seconds from the start at which each frame is shown, and at which the last one ends; decodes nothing."""
        return self._index.times(self._stream, self.fps)

    @property
    def pixel_aspect(self) -> Fraction:
        """Width divided by height of a pixel as stored."""
        return self._stream.sample_aspect_ratio or Fraction(1)

    def pictures(self) -> Iterator[av.VideoFrame]:
        """Yield every display frame once, in order, as encoded: neither converted nor rotated.

        Raises:
          VideoError: when one of them cannot be decoded exactly.
        """
        index, number = self._index, 0
        wanted = None if index.counted else {index.pts[ordinal] for ordinal in index.display}
        with reading(self._where):
            for frame in self._play(0 if index.counted else index.first_key, len(index.pts) - 1, None):
                if wanted is not None and frame.pts not in wanted:
                    continue
                if frame.is_corrupt:
                    raise VideoError("corrupt", f"{self._where}: the decoder marks frame {number} as damaged")
                yield frame
                number += 1
            if number != self.frames:
                raise VideoError("corrupt", f"{self._where}: the decoder returned {number} of {self.frames} frames")

    def read(self, indices: FrameNumbers) -> UInt8[np.ndarray, "t h w 3"]:
        """Decode exact display frames as RGB; see `read_frames`."""
        numbers = np.asarray(indices, np.int64).reshape(-1)
        wanted = self._wanted(numbers)
        with reading(self._where):
            found = self._decode_counting(wanted) if self._index.counted else self._decode(wanted)
        return found if np.array_equal(wanted, numbers) else found[np.searchsorted(wanted, numbers)]

    def iterate(self, indices: FrameNumbers) -> Iterator[tuple[int, UInt8[np.ndarray, "h w 3"]]]:
        """Yield the number and the RGB pixels of each wanted frame once, as it is decoded; only one is held at a time.

        Frames come in the order of the decoder, which is the order of display except in damaged files. Do not call
        another method that reads from this video until the iterator is exhausted or closed.

        Args:
          indices: as for `read`; repeats are yielded once.

        Raises:
          VideoError, IndexError: as in `read`, from the iterator.
        """
        wanted = self._wanted(np.asarray(indices, np.int64).reshape(-1))
        with reading(self._where):
            size, steps = None, self._iterate_counting(wanted) if self._index.counted else self._iterate(wanted)
            for number, pixels in steps:
                size = size or pixels.shape
                check_same_size(pixels.shape, size, self._where)
                yield number, pixels

    def _wanted(self, numbers: Int64[np.ndarray, " t"]) -> Int64[np.ndarray, " u"]:
        """Return the unique numbers in ascending order, after checking that these frames exist."""
        wanted = np.unique(numbers)
        if len(wanted) == 0 or wanted[0] < 0 or wanted[-1] >= self.frames:
            asked = f"frames {wanted[0]} to {wanted[-1]}" if len(wanted) else "no frames"
            raise IndexError(f"{asked} requested from {self._where}, which has frames 0 to {self.frames - 1}")
        return wanted

    def _iterate(self, wanted: Int64[np.ndarray, " t"]) -> Iterator[tuple[int, UInt8[np.ndarray, "h w 3"]]]:
        index, left = self._index, AwaitedFrames(wanted, self._index, self._reformatter)
        try:
            for start, stop in _runs([index.display[number] for number in wanted], index):
                for frame in self._play(start, stop, left.numbers if self._context.name in _SKIPPABLE else None):
                    yield from left.taken(frame)
            left.check_empty()
        except (av.error.FFmpegError, MissingFrameError):
            again = AwaitedFrames(wanted, index, self._reformatter)
            for frame in self._play(index.first_key, max(index.display[number] for number in wanted), None):
                yield from (found for found in again.taken(frame) if found[0] in left.missing)
            again.check_empty()

    def _iterate_counting(self, wanted: Int64[np.ndarray, " t"]) -> Iterator[tuple[int, UInt8[np.ndarray, "h w 3"]]]:
        """Decode from the start and count the frames, for streams without usable times."""
        left = set(wanted.tolist())
        for number, frame in enumerate(self._play(0, len(self._index.pts) - 1, None)):
            if number in left:
                left.remove(number)
                yield number, intact_rgb(frame, self._reformatter)
            if not left:
                return
        raise MissingFrameError(f"the decoder did not return {len(left)} of {len(wanted)} frames")

    def _decode(self, wanted: Int64[np.ndarray, " t"]) -> UInt8[np.ndarray, "t h w 3"]:
        index = self._index
        ordinals = [index.display[number] for number in wanted]
        rows = {index.pts[ordinal]: row for row, ordinal in enumerate(ordinals)}
        try:
            pictures = Pictures(len(rows), self._reformatter, self._where)
            for start, stop in _runs(ordinals, index):
                for frame in self._play(start, stop, rows if self._context.name in _SKIPPABLE else None):
                    if frame.pts in rows:
                        pictures.put(rows[frame.pts], frame)
            return pictures.complete()
        except (av.error.FFmpegError, MissingFrameError):
            return self._decode_from_start(rows, max(ordinals))

    def _decode_from_start(self, rows: dict[int, int], stop: int) -> UInt8[np.ndarray, "t h w 3"]:
        pictures = Pictures(len(rows), self._reformatter, self._where)
        for frame in self._play(self._index.first_key, stop, None):
            if frame.pts in rows:
                pictures.put(rows[frame.pts], frame)
        return pictures.complete()

    def _decode_counting(self, wanted: Int64[np.ndarray, " t"]) -> UInt8[np.ndarray, "t h w 3"]:
        """Decode from the start and count the frames, for streams without usable times."""
        rows = {int(number): row for row, number in enumerate(wanted)}
        pictures = Pictures(len(rows), self._reformatter, self._where)
        for number, frame in enumerate(self._play(0, len(self._index.pts) - 1, None)):
            if number in rows:
                pictures.put(rows[number], frame)
            if not pictures.missing:
                break
        return pictures.complete()

    def _play(self, start: int, stop: int, rows: dict[int, int] | None) -> Iterator[av.VideoFrame]:
        """Decode the packets from a key frame to `stop`.

        If `rows` is given, skip pictures whose times are not in it and to which no other picture refers.
        """
        context, floor = self._context, self._index.pts[start]
        try:
            for packet in self._index.packets(start, stop):
                if not self._index.counted and packet.pts is not None and packet.pts < floor:
                    continue  # shown before the key frame: refers to pictures that were not decoded
                if rows is not None:
                    context.skip_frame = "DEFAULT" if packet.pts in rows else "NONREF"
                yield from self._checked(context.decode(packet))
            yield from self._checked(context.decode(None))
        finally:
            context.skip_frame = "DEFAULT"
            context.flush_buffers()

    def _checked(self, frames: Iterable[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        """Check every frame's size, which may change mid-stream."""
        for frame in frames:
            check_size(frame.width, frame.height, self._where)
            yield frame


def _runs(ordinals: Sequence[int], index: PacketIndex) -> Iterator[tuple[int, int]]:
    """Yield ranges of packets that hold the wanted ones (given in display order) and the packets they refer to."""
    first, *others = ordinals
    start, stop = index.key_before(first), first
    for ordinal in others:
        key = index.key_before(ordinal)
        if key > stop:
            yield start, stop
            start, stop = key, ordinal
        stop = max(stop, ordinal)
    yield start, stop
