"""Open a video file; a failure raises a `VideoError` with its reason in one word."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import stat
from collections.abc import Generator
from typing import Any

import av
from av.stream import Disposition

from vidjax.errors import VideoError

MAX_PIXELS = 8192 * 8192  # per frame
_PADDING = 2**21  # pixels that a decoder may add to a frame of that size
# FFmpeg's single-file formats; those that open other files (playlists, SDP, numbered images) or draw text are excluded.
FORMATS = (
    "3gp,aac,apng,asf,av1,avi,bmp_pipe,cavsvideo,dirac,dv,flac,flv,gif,h263,h264,hevc,ivf,jpeg_pipe,m4v,matroska,mjpeg,"
    "mov,mp3,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,png_pipe,tiff_pipe,vc1,vvc,wav,webm,webp_pipe,wtv,yuv4mpegpipe"
)
_SIZE_REFUSED = ("max pixel count", "Failed to initialize decoder for")  # FFmpeg's messages; the second is VP9's
_SIGNATURES = {  # offset, magic bytes: containers that FFmpeg would open if they were intact
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
# A title in an old encoding must not make a video unreadable. PyAV 18 needs the option; PyAV 19 no longer has it.
open_any = functools.partial(av.open, metadata_errors="ignore") if int(av.__version__.split(".")[0]) < 19 else av.open


def open_container(source: str | os.PathLike | bytes, where: str) -> av.container.InputContainer:
    """Open a path or the bytes of a file. Paths are never treated as URLs, and playlists are never followed.

    Args:
      where: the name of the source in messages, as from `describe`.

    Raises:
      VideoError: missing, empty, corrupt, or not_video.
    """
    if not isinstance(source, bytes):
        check_file(source)
    elif not source:
        raise VideoError("empty", f"{where} holds no bytes")
    handle = io.BytesIO(source) if isinstance(source, bytes) else f"file:{os.fspath(source)}"
    only = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    try:
        return open_any(handle, mode="r", options=decoder_options() | only)
    except Exception as error:  # damage can raise FFmpeg's, the system's and PyAV's own errors
        raise VideoError(*_why(source, where, error)) from error


def decoder_options() -> dict[str, str]:
    """Options that make decoders reject a frame far over MAX_PIXELS before allocating it, wherever it occurs.

    Decoders count the padding of a frame, so the limit here is looser; `check_size` enforces the exact one.
    """
    return {"max_pixels": str(MAX_PIXELS + _PADDING)}


def check_size(width: int, height: int, where: str) -> None:
    """Reject frames over MAX_PIXELS.

    Raises:
      VideoError: too_large.
    """
    if width * height > MAX_PIXELS:
        raise VideoError(
            "too_large", f"{where} has frames of {width} x {height}; vidjax reads at most {MAX_PIXELS} pixels per frame"
        )


def check_file(path: str | os.PathLike) -> None:
    """Check that a regular, non-empty file exists, without reading it.

    Raises:
      VideoError: missing (also for a folder), not_video (a pipe, a socket, a device) or empty.
    """
    where = describe(path)
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:  # a path with a null byte raises ValueError
        raise VideoError("missing", f"{where} cannot be found: {getattr(error, 'strerror', error)}") from error
    if stat.S_ISDIR(found.st_mode):
        raise VideoError("missing", f"{where} is a folder, not a file")
    if not stat.S_ISREG(found.st_mode):
        raise VideoError("not_video", f"{where} is a pipe, a socket or a device, not a file")
    if found.st_size == 0:
        raise VideoError("empty", f"{where} is empty (0 bytes)")


@contextlib.contextmanager
def reading(where: str) -> Generator[None]:
    """Turn any failure of FFmpeg or PyAV while reading an opened file into a `VideoError`.

    FFmpeg's errors are not the only ones: PyAV raises IndexError for a packet of a stream that appears mid-file, and
    ZeroDivisionError for a rate with denominator zero.

    Raises:
      VideoError: too_large where a decoder rejects the size of a frame, otherwise corrupt; a `VideoError` raised inside
        passes through.
    """
    try:
        yield
    except VideoError:
        raise
    except Exception as error:  # damaged bytes can raise anything, including an IndexError in PyAV
        if any(words in str(error) for words in _SIZE_REFUSED):
            limit = f"vidjax reads at most {MAX_PIXELS} pixels per frame: {said_by(error)}"
            raise VideoError("too_large", f"{where} has a frame that is too large; {limit}") from error
        raise VideoError("corrupt", f"{where} cannot be decoded exactly: {said_by(error)}") from error


def video_stream(container: av.container.InputContainer, where: str) -> av.video.stream.VideoStream:
    """The first video stream that is not a cover picture.

    Raises:
      VideoError: no_video_stream, corrupt or too_large.
    """
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "none"
        raise VideoError(
            "no_video_stream", f"{where} has no video stream (a cover picture is not one); kinds of streams: {kinds}"
        )
    stream = streams[0]
    if stream.codec_context is None:
        raise VideoError("corrupt", f"{where} uses a video codec that FFmpeg does not know")
    check_size(stream.codec_context.width, stream.codec_context.height, where)
    return stream


def describe(source: str | os.PathLike | bytes) -> str:
    """The name of a source in messages: its path, or its number of bytes."""
    return f"a video of {len(source)} bytes" if isinstance(source, bytes) else os.fspath(source)


def said_by(error: Exception) -> str:
    """FFmpeg's report of an error, without its number and the file name, which vidjax's messages already contain."""
    if not isinstance(error, av.FFmpegError):
        return str(error)
    log: Any = error.log  # (level, source, message), whatever PyAV annotates
    return f"{error.strerror} ({log[2].strip()})" if log else str(error.strerror)


def _why(source: str | os.PathLike | bytes, where: str, error: Exception) -> tuple[str, str]:
    if isinstance(error, PermissionError):
        return "missing", f"{where} cannot be read: {error.strerror}"
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        head = file.read(16)
    if any(head[at : at + len(magic)] == magic for at, magic in _SIGNATURES):
        return "corrupt", f"{where} cannot be opened: {said_by(error)}"
    return "not_video", f"{where} is not in a format that vidjax reads; use MP4, MOV, WebM, MKV or AVI"
