"""Video files for tests, encoded with PyAV: whole ones in many containers, and ways to break them."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np


def moving_texture(frames: int = 40, height: int = 96, width: int = 128, seed: int = 0) -> np.ndarray:
    """Sliding noise (t h w 3), uint8, so that every frame differs from every other."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8 + 12, width // 8 + 12, 3), np.uint8)
    picture = coarse.repeat(8, 0).repeat(8, 1)
    return np.stack([picture[i % 64 : i % 64 + height, 2 * i % 64 : 2 * i % 64 + width] for i in range(frames)])


def encode(
    frames: np.ndarray,
    container: str = "mp4",
    codec: str = "libx264",
    *,
    pix_fmt: str = "yuv420p",
    rate: int = 25,
    options: dict[str, str] | None = None,
    times: list[int] | None = None,
    rotation: int = 0,
    muxer: dict[str, str] | None = None,
) -> bytes:
    """The bytes of a video file.

    Args:
      options: of the encoder, for example g, bf, x264-params.
      times: presentation times in 1/1000 s instead of a constant rate.
      rotation: degrees counter-clockwise by which a player must rotate the frames.
    """
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=muxer or {}) as output:
        stream = output.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pix_fmt
        if rotation:
            stream.set_display_rotation(rotation)
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def decode_all(video: bytes) -> np.ndarray:
    """Every frame in PyAV's display order, decoded from start to end: the oracle for exact frames."""
    with av.open(io.BytesIO(video)) as container:
        container.streams.video[0].thread_type = "NONE"
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def sound_only() -> bytes:
    """An MP4 with a second of AAC and no video."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=44100, layout="mono")
        tone = np.sin(np.arange(44100) / 20).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.rate = 44100
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def flip_bits(video: bytes, count: int = 40, seed: int = 0) -> bytes:
    """Flip bits inside the frames of an MP4, leaving its index intact."""
    damaged = bytearray(video)
    start = video.index(b"mdat") + 4 + 700  # past the encoder's comment
    end = video.index(b"moov") - 4 if video.index(b"moov") > start else len(video)
    for place in np.random.default_rng(seed).integers(start, end, count):
        damaged[place] ^= 1 << (place % 8)
    return bytes(damaged)
