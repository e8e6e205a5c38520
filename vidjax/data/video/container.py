"""Opening a video file, and naming in one word what is wrong with one that cannot be opened."""

from __future__ import annotations

import contextlib
import functools
import io
import os
from collections.abc import Generator
from pathlib import Path

import av
from av.stream import Disposition

from vidjax.errors import VideoError

MAX_PIXELS = 8192 * 8192  # of one frame
_TEXT_CODECS = {"ansi", "bintext", "xbin", "idf"}  # FFmpeg draws a text file as a video of a terminal
_SIGNATURES = {  # offset, first bytes: containers that FFmpeg would have opened had they been whole
    (0, b"\x1aE\xdf\xa3"),
    (0, b"RIFF"),
    (0, b"FLV"),
    (0, b"OggS"),
    (0, b"\x00\x00\x01\xba"),
    (0, b"\x00\x00\x00\x01"),
    (0, b"0&\xb2u"),
    (4, b"ftyp"),
    (4, b"moov"),
    (4, b"mdat"),
}

av.logging.set_level(av.logging.PANIC)
# A title in an old encoding must not make a video unreadable. PyAV 18 has to be told, PyAV 19 has no such option.
_open = functools.partial(av.open, metadata_errors="ignore") if int(av.__version__.split(".")[0]) < 19 else av.open


def open_container(source: str | os.PathLike | bytes) -> av.container.InputContainer:
    """Open a path or the bytes of a file.

    Raises:
      VideoError: missing, empty, truncated, corrupt, or not_video.
    """
    where = describe(source)
    if not isinstance(source, bytes):
        _check_file(Path(source), where)
    elif not source:
        raise VideoError("empty", f"{where} holds no bytes")
    handle = io.BytesIO(source) if isinstance(source, bytes) else os.fspath(source)
    try:
        return _open(handle, mode="r")
    except Exception as error:  # FFmpeg's, the system's, PyAV's own: damage reaches all of them
        raise VideoError(*_why(source, where, error)) from error


@contextlib.contextmanager
def reading(where: str) -> Generator[None]:
    """Around whatever FFmpeg and PyAV do with an opened file.

    FFmpeg's errors are not the only ones: a packet of a stream that appears in mid-file makes PyAV raise IndexError, a
    rate over zero ZeroDivisionError.

    Raises:
      VideoError: for any failure; corrupt unless a more exact one was raised inside.
    """
    try:
        yield
    except VideoError:
        raise
    except Exception as error:
        raise VideoError("corrupt", f"{where} cannot be decoded exactly: {error}") from error


def video_stream(container: av.container.InputContainer, where: str) -> av.video.stream.VideoStream:
    """The first video stream that is not a cover picture.

    Raises:
      VideoError: no_video_stream, not_video (text) or too_large.
    """
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "no"
        raise VideoError("no_video_stream", f"{where} has {kinds} streams only, none with moving pictures")
    stream = streams[0]
    if stream.codec_context is None:
        raise VideoError("corrupt", f"{where} uses a video codec that FFmpeg does not know")
    if stream.codec_context.name in _TEXT_CODECS:
        raise VideoError("not_video", f"{where} is text, not a video")
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > MAX_PIXELS:
        raise VideoError("too_large", f"{where} has frames of {width} x {height}; at most {MAX_PIXELS} pixels are read")
    return stream


def describe(source: str | os.PathLike | bytes) -> str:
    """How messages name a source: its path, or how many bytes it has."""
    return f"a video of {len(source)} bytes" if isinstance(source, bytes) else os.fspath(source)


def _check_file(path: Path, where: str):
    try:
        size = path.stat().st_size
    except OSError as error:
        raise VideoError("missing", f"{where} cannot be found: {error.strerror}") from error
    if not path.is_file():
        raise VideoError("missing", f"{where} is a folder, not a file")
    if size == 0:
        raise VideoError("empty", f"{where} has zero bytes")


def _why(source: str | os.PathLike | bytes, where: str, error: Exception) -> tuple[str, str]:
    if isinstance(error, PermissionError):
        return "missing", f"{where} may not be read: {error.strerror}"
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        head = file.read(16)
    if any(head[at : at + len(magic)] == magic for at, magic in _SIGNATURES):
        return "corrupt", f"{where} cannot be opened: {error}"
    return "not_video", f"{where} is in no format that FFmpeg can read: {error}"
