"""Index a video's packets without decoding: which are shown, in what order, and from which key frame to decode."""

from __future__ import annotations

import bisect
import os
from collections.abc import Iterator

import av
import numpy as np
from jaxtyping import Float

from vidjax.data.video.container import open_container, said_by, video_stream
from vidjax.data.video.truncation import is_cut_off
from vidjax.errors import VideoError

KEEP_BYTES = 128 << 20  # packets of larger files are read again rather than kept
_NO_TIME = -(1 << 63)  # FFmpeg's value for a missing time


class PacketIndex:
    """The index of one stream, from one pass over its packets.

    Attributes:
      pts: presentation time of each packet, in decoding order; `_NO_TIME` where the file has none.
      display: ordinals (positions in decoding order) of the packets that are shown, in display order.
      counted: whether times are missing, repeated or unreliable, so that frames can only be identified by counting.
      first_key: ordinal of the first key frame.

    Raises:
      VideoError: truncated or corrupt.
    """

    def __init__(
        self,
        source: str | os.PathLike | bytes,
        where: str,
        container: av.container.InputContainer,
        stream: av.video.stream.VideoStream,
    ):
        """Read all packets of the stream; `where` names the file in messages."""
        self._source, self._where = source, where
        self._container, self._stream = container, stream
        self._reopened: av.container.InputContainer | None = None
        self._kept: list[av.Packet] | None = [] if (container.size or 0) <= KEEP_BYTES else None
        self.pts: list[int] = []
        keys, hidden = self._read()
        self.first_key = keys[0] if keys else 0
        times = [pts for ordinal, pts in enumerate(self.pts) if ordinal not in hidden]
        # AVI has decoding times only; FFmpeg derives presentation times for MPEG-4, but not for these codecs.
        untimed = container.format.name == "avi" and stream.codec_context.name in ("h264", "hevc")
        reordered = untimed and stream.codec_context.has_b_frames
        self.counted = _NO_TIME in times or len(set(times)) < len(times) or not keys or bool(reordered)
        if self.counted:
            self.display = list(range(len(self.pts)))
            return
        first = self.pts[self.first_key]
        shown = (o for o, pts in enumerate(self.pts) if o >= self.first_key and pts >= first and o not in hidden)
        self.display = sorted(shown, key=self.pts.__getitem__)
        self._keys = sorted(keys, key=self.pts.__getitem__)
        self._key_times = [self.pts[key] for key in self._keys]
        if not self.display:
            raise VideoError("corrupt", f"{self._where} has a video stream without a displayed frame")

    def key_before(self, ordinal: int) -> int:
        """The ordinal of the key frame from which a packet can be decoded."""
        place = bisect.bisect_right(self._key_times, self.pts[ordinal]) - 1
        while place > 0 and self._keys[place] > ordinal:
            place -= 1
        return self._keys[place]

    def seconds(self, stream: av.video.stream.VideoStream) -> float:
        """Seconds from the first shown frame to the end of the last; 0 for a single frame or without times."""
        if self.counted or len(self.display) < 2:
            return 0.0
        first, last = self.pts[self.display[0]], self.pts[self.display[-1]]
        step = self._last_duration or (last - first) / (len(self.display) - 1)
        return float((last - first + step) * (stream.time_base or 0))

    def times(self, stream: av.video.stream.VideoStream, fps: float) -> Float[np.ndarray, " frames+1"]:
        """Seconds from the first shown frame to each, and to the end of the last; at `fps` if `seconds` is 0."""
        total = self.seconds(stream)
        if not total:
            return np.arange(len(self.display) + 1) / fps
        pts = np.array([self.pts[ordinal] for ordinal in self.display], np.float64)
        return np.append((pts - pts[0]) * float(stream.time_base or 0), total)

    def packets(self, start: int, stop: int) -> Iterator[av.Packet]:
        """Yield the packets from ordinal `start` to `stop`, both included."""
        if self._kept is not None:
            yield from self._kept[start : stop + 1]
            return
        # Every pass yields the packets in the same order, so a second one can identify them by counting.
        if self._reopened is None or self._place > start:
            self._reopen()
        for packet in self._again:
            self._place += 1
            if self._place > start:
                yield packet
            if self._place > stop:
                return

    def close(self):
        """Release the packets and the second handle."""
        self._kept = []
        if self._reopened is not None:
            self._reopened.close()

    def _reopen(self):
        if self._reopened is not None:
            self._reopened.close()
        self._reopened = open_container(self._source, self._where)
        stream = video_stream(self._reopened, self._where)
        self._again, self._place = (packet for packet in self._reopened.demux(stream) if packet.size), 0

    def _read(self) -> tuple[list[int], set[int]]:
        """Fill `pts`; return the ordinals of key frames and of packets that are decoded but never shown."""
        keys, hidden, self._last_duration, last = [], set(), 0, None
        try:
            for packet in self._container.demux(self._stream):
                if not packet.size:
                    continue
                ordinal, pts = len(self.pts), packet.pts
                if packet.is_corrupt:
                    raise VideoError("truncated", f"{self._where} breaks off in packet {ordinal}")
                if packet.is_keyframe:
                    keys.append(ordinal)
                if packet.is_discard:
                    hidden.add(ordinal)
                if pts is not None and (last is None or pts > last):
                    last, self._last_duration = pts, packet.duration or 0
                self.pts.append(_NO_TIME if pts is None else pts)
                if self._kept is not None:
                    self._kept.append(packet)
        except av.error.FFmpegError as error:
            raise VideoError(
                "truncated", f"{self._where} cannot be read past packet {len(self.pts)}: {said_by(error)}"
            ) from error
        expected = self._expected_packets()
        if len(self.pts) < expected:
            raise VideoError("truncated", f"{self._where} should have {expected} frames and ends after {len(self.pts)}")
        if not self.pts:
            raise VideoError("corrupt", f"{self._where} has a video stream without a single frame")
        return keys, hidden

    def _expected_packets(self) -> int:
        """The number of packets that the header promises; 0 if unknown.

        For MP4, these are the samples that its edit list keeps. In other formats, encoders often get the number wrong,
        so it is used only if bytes are missing too.
        """
        if "mp4" in self._container.format.name:
            return len(self._stream.index_entries)
        return self._stream.frames if is_cut_off(self._source) else 0
