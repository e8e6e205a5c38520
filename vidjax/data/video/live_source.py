"""What `vidjax watch` may open: a camera, one network stream at the address that was given, or a file that grows.

Nothing else in vidjax lets FFmpeg open an address. Each kind has a white list of protocols and formats of its own, and
none of these formats opens another address: no playlist (HLS, DASH), no SDP of a file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import socket
import stat
import threading
import time
import urllib.parse
from typing import Any

import av

from vidjax.data.video.container import FORMATS, decoder_options, open_any
from vidjax.errors import ConfigError, DataError, StalledError, VideoError

_WEB = "http,https,tls,tcp"  # a redirection may lead from one to the other
PROTOCOLS = {"http": _WEB, "https": _WEB, "tcp": "tcp", "rtsp": "tcp", "rtsps": "tls,tcp"}
_PLAYLISTS = (".m3u8", ".mpd", ".m3u", ".pls", ".sdp")
_CAMERAS = 81  # the major number of video4linux devices
_POLL = 0.02  # seconds between two looks at a file
_ANALYSIS = 1_000_000  # microseconds of a stream that FFmpeg may look at before the first frame
_SEE = "see vidjax watch --help"


@dataclasses.dataclass(frozen=True)
class LiveSource:
    """Something that goes on while it is read.

    Attributes:
      address: a path or a URL.
      kind: camera, network or file.
      shown: the address without user name and password.
    """

    address: str
    kind: str
    shown: str


def find_source(address: str) -> LiveSource:
    """What an address means; opens nothing.

    Raises:
      ConfigError: for an address that is malformed or of a kind that is not watched.
      VideoError: missing or not_video, of a path.
    """
    scheme = address.split("://")[0] if "://" in address else ""
    if scheme:
        try:
            parts = urllib.parse.urlsplit(address)
        except ValueError as error:  # such as an unclosed bracket; what it says may hold the password
            raise ConfigError(f"the address of this {scheme}:// stream is malformed; {_SEE}") from error
        shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        if scheme not in PROTOCOLS:
            raise ConfigError(f"vidjax watch does not open {scheme}:// addresses such as {shown}; {_SEE}")
        if parts.path.lower().endswith(_PLAYLISTS):
            raise ConfigError(f"{shown} is a playlist, which vidjax does not follow; give the address of one stream")
        if not parts.hostname:
            raise ConfigError(f"{shown} names no host")
        return LiveSource(address, "network", shown)
    try:
        mode = os.stat(address)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", error)
        raise VideoError("missing", f"{address} cannot be found: {why}") from error
    if stat.S_ISREG(mode.st_mode):
        return LiveSource(address, "file", address)
    if stat.S_ISCHR(mode.st_mode) and os.major(mode.st_rdev) == _CAMERAS:
        return LiveSource(address, "camera", address)
    raise VideoError("not_video", f"{address} is neither a camera nor a file")


def open_live(source: LiveSource, timeout: float, stopped: threading.Event) -> av.container.InputContainer:
    """Open a source; blocks until it has begun to send.

    Args:
      timeout: seconds of silence after which reading ends, with the end of a file or with `StalledError`.
      stopped: ends the reading of a file.

    Raises:
      DataError: when it cannot be opened, in a sentence; VideoError where it is no video.
      StalledError: when it sends nothing.
    """
    options = decoder_options() | {"analyzeduration": str(_ANALYSIS)}
    with live_errors(source, timeout):
        if source.kind == "camera":
            return open_any(source.address, format="v4l2", options=options, timeout=timeout)
        if source.kind == "file":
            only = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
            growing: Any = GrowingFile(source.address, timeout, stopped)
            return open_any(growing, mode="r", options=options | only)
        scheme = source.address.split("://")[0]
        _find_host(source)
        only = {"protocol_whitelist": PROTOCOLS[scheme], "format_whitelist": f"{FORMATS},mpjpeg"}
        if scheme.startswith("rtsp"):
            only |= {"format_whitelist": "rtsp", "rtsp_transport": "tcp"}
            return open_any(source.address, format="rtsp", options=options | only, timeout=timeout)
        return open_any(source.address, options=options | only, timeout=timeout)


@contextlib.contextmanager
def live_errors(source: LiveSource, timeout: float):
    """Around what FFmpeg does with a source: what it says becomes a sentence without the password of an address.

    Raises:
      DataError, StalledError: as `open_live`.
    """
    try:
        yield
    except (DataError, StalledError):
        raise
    except (av.error.ExitError, TimeoutError) as error:
        raise StalledError(
            f"{source.shown} has sent nothing for {timeout:g} s; see that it sends, or wait longer with --timeout"
        ) from error
    except (av.error.InvalidDataError, av.error.ArgumentError) as error:  # the latter of formats that are not allowed
        hint = ""
        if source.kind == "file":
            hint = (
                ", or none that can be read before it is finished, as most MP4 files; record MPEG-TS or Matroska, and "
                "ask `vidjax predict --every 1` about a finished file"
            )
        raise VideoError("not_video", f"{source.shown} has no format that vidjax reads{hint}") from error
    except Exception as error:  # FFmpeg's, the system's, PyAV's own
        if isinstance(error, OSError) and ends_in_error(source, error):
            raise VideoError("not_video", f"{source.shown} has ended before there was a video in it") from error
        why = getattr(error, "strerror", None) or type(error).__name__
        raise DataError(f"{source.shown} cannot be read: {why}") from error


def ends_in_error(source: LiveSource, error: OSError) -> bool:
    """Whether an error is how FFmpeg says that an answer of HTTP whose length is unknown has ended."""
    return error.errno == errno.EIO and source.address.startswith("http")


def _find_host(source: LiveSource) -> None:
    """For a host that does not exist FFmpeg says "Input/output error" only."""
    parts = urllib.parse.urlsplit(source.address)
    try:
        socket.getaddrinfo(parts.hostname, None)
    except OSError as error:
        raise DataError(f"{source.shown}: there is no host {parts.hostname!r} ({error.strerror})") from error


class GrowingFile:
    """A file for FFmpeg to read while another program writes it; it ends when it has not grown for a while."""

    def __init__(self, path: str, patience: float, stopped: threading.Event):
        self.name = path  # by which FFmpeg guesses the format
        self._file, self._patience, self._stopped = open(path, "rb"), patience, stopped  # noqa: SIM115
        self._over = False

    def read(self, size: int) -> bytes:
        """Up to so many bytes as soon as there are any; none at the end."""
        since = time.monotonic()
        while not (self._over or self._stopped.is_set()):
            if found := self._file.read(size):
                return found
            self._over = time.monotonic() - since > self._patience  # FFmpeg reads again after an end
            self._stopped.wait(_POLL)
        return b""
