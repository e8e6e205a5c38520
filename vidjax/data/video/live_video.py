"""Frames of a live stream, decoded in a thread; only the most recent seconds are kept, and late frames are dropped.

Once `LiveVideo.keep` has set `apart`, only the newest frame and the first in each interval of `apart` seconds are kept.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import Float, UInt8

from vidjax.data.video.container import check_size, video_stream
from vidjax.data.video.live_source import LiveSource, ends_in_error, live_errors, open_live
from vidjax.data.video.pictures import displayed_rgb
from vidjax.errors import StalledError

_LATE, _VERY_LATE = 0.5, 2.0  # seconds: late frames are dropped; after very late ones, only key frames are decoded
_MEMORY = 15.0  # seconds: lateness is measured against the most punctual frame of the last 15 to 30 seconds
_RATES = (1.0, 240.0)  # plausible frames per second
_USUAL_RATE = 25.0


class Kept(NamedTuple):
    """A kept frame: its time in the stream, the moment it was due here (`time.monotonic`), and its prepared pixels."""

    seconds: float
    due: float
    prepared: UInt8[np.ndarray, "crops h w 3"]


@dataclasses.dataclass
class Counts:
    """How many frames were intact (`frames`), how many of these came late (`dropped`), how many were `damaged`."""

    frames: int = 0
    dropped: int = 0
    damaged: int = 0


class LiveVideo:
    """A live source, read in a thread until it ends or is closed.

    Attributes:
      counts: the numbers of frames so far.
      fps: frames per second that the source announces; 25 if it announces none, or an implausible rate.
      size: height and width of the last frame as displayed.
      remarks: sentences about the stream, such as a change of frame size.
    """

    def __init__(self, source: LiveSource, prepare: Callable[[UInt8[np.ndarray, "h w 3"]], np.ndarray], timeout: float):
        """Start reading.

        Args:
          prepare: turns a frame into the array to keep; called in the reading thread.
          timeout: seconds without a frame after which `wait` gives up.
        """
        self.counts, self.fps, self.size, self.remarks = Counts(), 0.0, (0, 0), list[str]()
        self._keep, self._apart = math.inf, 0.0
        self._source, self._prepare, self._timeout = source, prepare, timeout
        self._frames: collections.deque[Kept] = collections.deque()
        self._changed, self._stopped = threading.Condition(), threading.Event()
        self._error: BaseException | None = None
        self._ended, self._alive = False, time.monotonic()
        self._origin: float | None = None
        self._last, self._since, self._lately, self._before = 0.0, 0.0, math.inf, math.inf
        self._thread = threading.Thread(target=self._read, daemon=True, name="watch")
        self._thread.start()

    def __enter__(self) -> LiveVideo:
        return self

    def __exit__(self, *exception) -> None:
        """Ask the thread to stop; a thread that is waiting for the network ends when that read times out."""
        self._stopped.set()
        self._thread.join(1.0)

    def keep(self, seconds: float, apart: float) -> None:
        """From the last `seconds`, keep the newest frame and the first in each interval of `apart` seconds.

        If `apart` is 0, keep all of them.
        """
        with self._changed:
            self._keep, self._apart = seconds, apart
            frames, self._frames = self._frames, collections.deque()
            for frame in frames:
                self._append(frame)

    def wait(self, seconds: float, until: float = math.inf) -> list[Kept]:
        """Wait for a frame at or after a time in the stream, and return the kept frames; none if the stream ends first.

        Args:
          seconds: the time in the stream to wait for.
          until: the moment (`time.monotonic`) at which to stop waiting and return nothing.

        Raises:
          StalledError: when no frame arrived within the time-out, or the source broke off.
          DataError: when the source cannot be read.
        """
        with self._changed:
            while not (self._frames and self._frames[-1].seconds >= seconds):
                if self._error:
                    raise self._error
                if self._ended or time.monotonic() >= until:
                    return []
                silent = time.monotonic() - self._alive
                if silent > self._timeout + 1.0:  # a second after FFmpeg's own time-out, whose message is better
                    raise StalledError(f"{self._source.shown} delivered no frame for {silent:.0f} s (see --timeout)")
                self._changed.wait(0.2)
            return list(self._frames)

    def _read(self) -> None:
        error: BaseException | None = None
        try:
            with live_errors(self._source, self._timeout):
                self._read_on()
        except Exception as caught:
            error = caught
        with self._changed:
            self._error, self._ended = error, True
            self._changed.notify_all()

    def _read_on(self) -> None:
        with open_live(self._source, self._timeout, self._stopped) as container:
            try:
                self._decode(container)
            except OSError as broken:
                if not ends_in_error(self._source, broken):
                    after = f"after {self.counts.frames} frames: {broken.strerror}"
                    raise StalledError(f"{self._source.shown} has broken off {after}; start again") from broken

    def _decode(self, container: av.container.InputContainer) -> None:
        stream = video_stream(container, self._source.shown)
        context, reformatter = stream.codec_context, VideoReformatter()
        context.thread_type, context.thread_count = "NONE", 1  # frame threads would delay frames
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        self.fps = rate if _RATES[0] <= rate <= _RATES[1] else _USUAL_RATE
        late = 0.0
        for packet in container.demux(stream):
            if self._stopped.is_set():
                return
            if late > _VERY_LATE:
                context.skip_frame = "NONKEY"
            elif packet.is_keyframe:  # nothing from here on refers to skipped frames
                context.skip_frame = "DEFAULT"
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                self.counts.damaged += 1
                continue
            for frame in frames:
                late = self._take(frame, reformatter)

    def _take(self, frame: av.VideoFrame, reformatter: VideoReformatter) -> float:
        """Keep a frame unless it is damaged or late; return how late it is in seconds."""
        now = time.monotonic()
        if frame.is_corrupt:
            self.counts.damaged += 1
            return 0.0
        check_size(frame.width, frame.height, self._source.shown)
        seconds, late = self._clock(frame.time if frame.pts is not None else now, now)
        self.counts.frames += 1
        if late > _LATE:
            self.counts.dropped += 1
            self._alive = now
            return late
        pixels = displayed_rgb(frame, reformatter)
        kept = Kept(seconds, now - late, self._prepare(pixels))
        with self._changed:
            if self.size not in ((0, 0), pixels.shape[:2]):
                (before, then) = (f"{width} x {height}" for height, width in (self.size, pixels.shape[:2]))
                self.remarks.append(f"at {seconds:.1f} s the frame size changes from {before} to {then}")
            self.size, self._alive = pixels.shape[:2], now
            self._append(kept)
            self._changed.notify_all()
        return late

    def _append(self, frame: Kept) -> None:
        """Add the newest frame, and drop the frames that `keep` no longer asks for."""
        if self._is_spare():
            self._frames.pop()
        self._frames.append(frame)
        while self._frames[0].seconds < frame.seconds - self._keep:
            self._frames.popleft()

    def _is_spare(self) -> bool:
        """Whether the next frame replaces the last kept one, because an earlier frame of the same interval is kept."""
        if not self._apart or len(self._frames) < 2:
            return False
        return self._frames[-1].seconds // self._apart == self._frames[-2].seconds // self._apart

    def _clock(self, stamp: float, now: float) -> tuple[float, float]:
        """Seconds since the first frame by the sender's clock, and how late the frame is.

        Lateness is relative to the most punctual of the recent frames only, since clocks drift and a sender that has
        paused stays late. When the sender's clock jumps, as after a restart, time continues without a gap.
        """
        if self._origin is None:
            self._origin, self._since = stamp, now
        seconds = stamp - self._origin
        if not -1e-6 <= seconds - self._last <= self._timeout:
            self._origin = stamp - self._last - 1 / self.fps
            seconds = stamp - self._origin
            self._since, self._lately, self._before = now, math.inf, math.inf
        if now - self._since > _MEMORY:
            self._since, self._lately, self._before = now, math.inf, self._lately
        self._lately, self._last = min(self._lately, now - seconds), seconds
        return seconds, now - seconds - min(self._lately, self._before)


def pick(frames: list[Kept], at: Float[np.ndarray, " t"]) -> UInt8[np.ndarray, "crops t h w 3"]:
    """The clip of the frames nearest to the times `at`, in seconds of the stream."""
    times = np.array([frame.seconds for frame in frames])
    nearest = np.abs(times[None] - at[:, None]).argmin(axis=1)
    return np.stack([frames[number].prepared for number in nearest], axis=1)
