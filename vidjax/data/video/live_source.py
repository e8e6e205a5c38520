"""Sources for `vidjax watch`: a camera, one network stream at a given address, or a growing file.

Nothing else in vidjax lets FFmpeg open a URL. Each kind has its own allowlist of protocols and formats, and none of
these formats opens another URL: no playlists (HLS, DASH), no SDP files.
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

_WEB = "http,https,tls,tcp"  # http and https may redirect to each other
PROTOCOLS = {"http": _WEB, "https": _WEB, "tcp": "tcp", "rtsp": "tcp", "rtsps": "tls,tcp"}
_PLAYLISTS = (".m3u8", ".mpd", ".m3u", ".pls", ".sdp")
_CAMERAS = 81  # the major device number of video4linux
_POLL = 0.02  # seconds between two attempts to read a growing file
_ANALYSIS = 1_000_000  # microseconds of a stream that FFmpeg may analyse before the first frame
_SEE = "see vidjax watch --help"


@dataclasses.dataclass(frozen=True)
class LiveSource:
    """A source that may grow while it is read.

    Attributes:
      address: a path or a URL.
      kind: camera, network or file.
      shown: the address without user name and password.
    """

    address: str
    kind: str
    shown: str


def find_source(address: str) -> LiveSource:
    """Classify an address, without opening it.

    Raises:
      ConfigError: for a malformed address, or one of an unsupported kind.
      VideoError: missing or not_video, for a path.
    """
    scheme = address.split("://")[0] if "://" in address else ""
    if scheme:
        try:
            parts = urllib.parse.urlsplit(address)
        except ValueError as error:  # such as an unclosed bracket; its text may contain the password
            raise ConfigError(f"the address of this {scheme}:// stream is malformed; {_SEE}") from error
        shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        if scheme not in PROTOCOLS:
            raise ConfigError(f"vidjax watch does not open {scheme}:// addresses such as {shown}; {_SEE}")
        if parts.path.lower().endswith(_PLAYLISTS):
            raise ConfigError(f"{shown} is a playlist, which vidjax does not follow; give the address of one stream")
        if not parts.hostname:
            raise ConfigError(f"{shown} has no host name; write it as in http://HOST/stream")
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
    """Open a source; block until it starts sending.

    Args:
      timeout: seconds of silence after which a file counts as ended, and any other source raises `StalledError`.
      stopped: when set, ends the reading of a file.

    Raises:
      DataError: when it cannot be opened; VideoError when it is not a video.
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
    """Turn FFmpeg's errors about a source into messages that do not show the password in its address.

    Raises:
      DataError, StalledError: as in `open_live`.
    """
    try:
        yield
    except (DataError, StalledError):
        raise
    except (av.error.ExitError, TimeoutError) as error:
        raise StalledError(
            f"{source.shown} has sent nothing for {timeout:g} s; check that it sends, or wait longer with --timeout"
        ) from error
    except (av.error.InvalidDataError, av.error.ArgumentError) as error:  # ArgumentError for formats not allowed
        hint = ""
        if source.kind == "file":
            hint = (
                ", or cannot be read before it is finished, like most MP4 files; record MPEG-TS or Matroska; for a "
                "finished file, use `vidjax predict --every 1`"
            )
        raise VideoError("not_video", f"{source.shown} is not in a format that vidjax reads{hint}") from error
    except Exception as error:  # an error of FFmpeg, the system or PyAV
        if isinstance(error, OSError) and ends_in_error(source, error):
            raise VideoError("not_video", f"{source.shown} ended before a video began") from error
        why = getattr(error, "strerror", None) or type(error).__name__
        raise DataError(f"{source.shown} cannot be read: {why}") from error


def ends_in_error(source: LiveSource, error: OSError) -> bool:
    """Whether an error is FFmpeg's way of ending an HTTP response of unknown length."""
    return error.errno == errno.EIO and source.address.startswith("http")


def _find_host(source: LiveSource) -> None:
    """Check that the host exists; otherwise FFmpeg only reports "Input/output error"."""
    parts = urllib.parse.urlsplit(source.address)
    try:
        socket.getaddrinfo(parts.hostname, None)
    except OSError as error:
        raise DataError(f"{source.shown}: host {parts.hostname!r} was not found ({error.strerror})") from error


class GrowingFile:
    """A file that FFmpeg reads while another program writes it; it ends when it has not grown for a while."""

    def __init__(self, path: str, patience: float, stopped: threading.Event):
        self.name = path  # FFmpeg guesses the format from it
        self._file, self._patience, self._stopped = open(path, "rb"), patience, stopped  # noqa: SIM115
        self._over = False

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes as soon as there are any; none at the end."""
        since = time.monotonic()
        while not (self._over or self._stopped.is_set()):
            if found := self._file.read(size):
                return found
            self._over = time.monotonic() - since > self._patience  # remembered, as FFmpeg reads again after the end
            self._stopped.wait(_POLL)
        return b""
