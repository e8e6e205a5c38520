"""Re-encode videos so that a random clip is cheap to decode: small frames, many key frames, skippable frames.

Between key frames, three of every four frames are B frames to which no other frame refers (`IBBBP`), so reading every
fourth frame skips most of the rest. The simpler entropy coding of H.264 (CAVLC) saves a third of the decoding time.
Deblocking is off, which changes next to nothing at this quality.
"""

from __future__ import annotations

import bisect
import dataclasses
import io
from fractions import Fraction
from typing import Literal

import av
import numpy as np
from jaxtyping import UInt8

from vidjax.data.clips.resize import resize
from vidjax.data.video.decode import VideoInfo
from vidjax.data.video.readers import OpenVideo, VideoPlace, open_video
from vidjax.errors import ConfigError

_AT_ONCE = 256 << 20  # bytes of frames in memory; a read starts at a key frame, so a few long reads are better
_RATES = (1.0, 240.0)  # frames per second; other rates are clipped to this range
_TICK = Fraction(1, 90_000)  # seconds, the unit of uneven times
_EVEN = 0.25  # times that differ by at most this fraction of a frame from an even rate count as even
# mbtree is off: on small frames, x264 reads past the end of its array, and bytes would differ from run to run.
_X264 = "scenecut=0:bframes=3:b-adapt=0:b-pyramid=none:open-gop=0:cabac=0:no-deblock=1:weightp=0:weightb=0:mbtree=0"


@dataclasses.dataclass(frozen=True)
class Encoding:
    """How prepared videos are encoded.

    Attributes:
      short_side: in pixels; smaller videos keep their size, rounded down to even numbers.
      key_every: frames from one key frame to the next.
      crf: x264's constant rate factor; lower means better quality and larger files.

    Raises:
      ConfigError: for values that x264 cannot use.
    """

    short_side: int = 256
    key_every: int = 12
    crf: int = 20

    def __post_init__(self):
        if self.short_side < 32 or self.short_side % 2:
            raise ConfigError(f"short side {self.short_side} must be even and at least 32; 256 to 320 is usual")
        if self.key_every < 1 or not 0 <= self.crf <= 51:
            raise ConfigError(
                f"a key frame every {self.key_every} frames with crf {self.crf} is not possible; use at least 1 frame, "
                "and crf from 0 to 51"
            )

    def encode(self, video: VideoPlace) -> tuple[bytes, VideoInfo]:
        """Encode as MP4 without sound: all frames as displayed, at their times. The bytes are reproducible.

        Raises:
          VideoError: when a frame cannot be decoded.
        """
        with open_video(video, open_ended=False) as source:
            size = _fit(source.info.height, source.info.width, self.short_side)
            return _write(source, size, "libx264", "yuv420p", _x264(self.key_every) | {"crf": str(self.crf)})


@dataclasses.dataclass(frozen=True)
class Lossless:
    """Lossless encoding of images: H.264 in RGB at their own size, which restores every pixel.

    Attributes:
      key_every: frames from one key frame to the next.
    """

    key_every: int = 12

    def encode(self, video: VideoPlace) -> tuple[bytes, VideoInfo]:
        """Encode as MP4 with exactly the frames of the video. The bytes are reproducible.

        Raises:
          VideoError: when a frame cannot be decoded.
        """
        with open_video(video, open_ended=False) as source:
            size = (source.info.height, source.info.width)
            return _write(source, size, "libx264rgb", "rgb24", _x264(self.key_every) | {"qp": "0"})


def _write(
    source: OpenVideo,
    size: tuple[int, int],
    codec: Literal["libx264", "libx264rgb"],
    pixels: str,
    options: dict[str, str],
) -> tuple[bytes, VideoInfo]:
    info, (height, width) = source.info, size
    rate = Fraction(min(max(info.fps, _RATES[0]), _RATES[1])).limit_denominator(1001)
    times = _uneven_times(source, float(rate))
    length = max(1, _AT_ONCE // (info.height * info.width * 3))
    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as output:
        stream = output.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width, stream.pix_fmt = height, width, pixels
        if times:
            stream.codec_context.time_base = _TICK

        def write(frame: av.VideoFrame | None) -> None:
            for packet in stream.encode(frame):
                if times and packet.pts is not None:
                    packet.duration = times[bisect.bisect_right(times, packet.pts)] - packet.pts
                output.mux(packet)

        for start in range(0, info.frames, length):
            frames = source.read(range(start, min(start + length, info.frames)))
            for number, picture in enumerate(_shrink(frames, height, width), start):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                if times:
                    frame.pts, frame.time_base = times[number], _TICK
                write(frame)
        write(None)
    return file.getvalue(), dataclasses.replace(info, height=height, width=width)


def _uneven_times(source: OpenVideo, rate: float) -> list[int]:
    """When each frame is shown and the last one ends, in ticks; empty for frames at an even rate."""
    times = source.times
    if np.abs(times - np.arange(len(times)) / rate).max() * rate <= _EVEN:
        return []
    numbers = np.arange(len(times))
    ticks = np.round(times / float(_TICK)).astype(int)
    return (np.maximum.accumulate(ticks - numbers) + numbers).tolist()  # no two frames share a tick


def _x264(key_every: int) -> dict[str, str]:
    keys = f"keyint={key_every}:min-keyint={key_every}"
    # With more threads the bytes would differ; instead, several videos are encoded at once.
    return {"preset": "medium", "threads": "1", "x264-params": f"{keys}:{_X264}"}


def _fit(height: int, width: int, short_side: int) -> tuple[int, int]:
    """The size of a video shrunk to a short side, or its own if it is smaller; even, as 4:2:0 requires."""
    short = min(height, width)
    target = min(short, short_side)
    fitted = [max(2, side * target // short // 2 * 2) for side in (height, width)]
    return fitted[0], fitted[1]


def _shrink(frames: UInt8[np.ndarray, "t h w 3"], height: int, width: int) -> UInt8[np.ndarray, "t h2 w2 3"]:
    if frames.shape[1:3] == (height, width):
        return frames
    return resize(frames, (height, width), "area" if frames.shape[1] > height else "bilinear")
