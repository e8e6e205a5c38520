"""One small video in twenty containers and codecs, and random damage to the bytes of any."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from videos import encode, moving_texture

CLIP = moving_texture(10, 32, 48)
LARGER = moving_texture(10)  # some encoders need it
GOP = {"g": "5"}
VPX = {**GOP, "deadline": "realtime", "cpu-used": "8"}
X265 = {"x265-params": "log-level=none:keyint=5:pools=none:frame-threads=1"}
SVT = {**GOP, "preset": "12", "svtav1-params": "lp=1"}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}
CONTAINERS: dict[str, Callable[[], bytes]] = {
    "MP4, H.264": lambda: encode(CLIP, options=GOP),
    "fragmented MP4": lambda: encode(CLIP, options=GOP, muxer=FRAGMENTS),
    "MP4, HEVC": lambda: encode(LARGER, codec="libx265", options=X265),
    "MP4, AV1": lambda: encode(LARGER, codec="libsvtav1", options=SVT),
    "MOV, MPEG-4": lambda: encode(CLIP, "mov", "mpeg4", options=GOP),
    "MOV, ProRes": lambda: encode(LARGER, "mov", "prores_ks", pix_fmt="yuv422p10le"),
    "3GP": lambda: encode(moving_texture(10, 144, 176), "3gp", "h263", options=GOP),
    "MPEG-TS, H.264": lambda: encode(CLIP, "mpegts", options=GOP),
    "MPEG-PS": lambda: encode(CLIP, "mpeg", "mpeg2video", options=GOP),
    "WebM, VP9": lambda: encode(CLIP, "webm", "libvpx-vp9", options=VPX),
    "Matroska, H.264": lambda: encode(CLIP, "matroska", options=GOP),
    "Matroska, FFV1": lambda: encode(CLIP, "matroska", "ffv1", options=GOP),
    "AVI, MPEG-4": lambda: encode(CLIP, "avi", "mpeg4", options=GOP),
    "AVI, Motion JPEG": lambda: encode(CLIP, "avi", "mjpeg", pix_fmt="yuvj420p"),
    "FLV": lambda: encode(CLIP, "flv", "flv", options=GOP),
    "WMV": lambda: encode(CLIP, "asf", "wmv2", options=GOP),
    "Ogg, VP8": lambda: encode(CLIP, "ogg", "libvpx", options=VPX),
    "raw H.264": lambda: encode(CLIP, "h264", options=GOP),
    "GIF": lambda: encode(CLIP, "gif", "gif", pix_fmt="rgb8"),
    "APNG": lambda: encode(CLIP, "apng", "apng", pix_fmt="rgb24"),
}


def mutations(video: bytes, count: int, seed: int) -> Iterator[bytes]:
    """One to eight flipped bits, or bytes deleted, inserted or overwritten, anywhere, or the end cut off."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        damaged = bytearray(video)
        at, length = int(rng.integers(len(video))), int(rng.integers(1, 200))
        if number % 5 == 0:
            for place in rng.integers(0, len(video), rng.integers(1, 9)):
                damaged[place] ^= 1 << int(rng.integers(8))
        elif number % 5 == 1:
            del damaged[at : at + length]
        elif number % 5 == 2:
            damaged[at:at] = rng.bytes(length)
        elif number % 5 == 3:
            damaged[at : at + length] = rng.bytes(len(damaged[at : at + length]))
        else:
            del damaged[at:]
        yield bytes(damaged)
