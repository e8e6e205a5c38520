"""A damaged file gives frames or a `VideoError`, whatever its container and wherever the damage."""

import numpy as np
import pytest
from videos import encode, moving_texture

from vidjax.data import probe_video, read_frames
from vidjax.errors import VideoError

CLIP = moving_texture(10, 32, 48)
GOP = {"g": "5"}
X265 = {"x265-params": "log-level=none:keyint=5:pools=none:frame-threads=1"}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}
CONTAINERS = {
    "mp4": lambda: encode(CLIP, options=GOP),
    "fragmented mp4": lambda: encode(CLIP, options=GOP, muxer=FRAGMENTS),
    "mov": lambda: encode(CLIP, "mov", "mpeg4", options=GOP),
    "hevc": lambda: encode(moving_texture(10), codec="libx265", options=X265),  # smaller ones crash x265 itself
    "mpeg-ts": lambda: encode(CLIP, "mpegts", options=GOP),
    "mpeg-ps": lambda: encode(CLIP, "mpeg", "mpeg2video", options=GOP),
    "webm": lambda: encode(CLIP, "webm", "libvpx-vp9", options={**GOP, "deadline": "realtime", "cpu-used": "8"}),
    "matroska": lambda: encode(CLIP, "matroska", options=GOP),
    "avi": lambda: encode(CLIP, "avi", "mpeg4", options=GOP),
    "flv": lambda: encode(CLIP, "flv", "flv", options=GOP),
    "wmv": lambda: encode(CLIP, "asf", "wmv2", options=GOP),
    "ogg": lambda: encode(CLIP, "ogg", "libvpx", options={**GOP, "deadline": "realtime", "cpu-used": "8"}),
    "raw h264": lambda: encode(CLIP, "h264", options=GOP),
    "gif": lambda: encode(CLIP, "gif", "gif", pix_fmt="rgb8"),
    "apng": lambda: encode(CLIP, "apng", "apng", pix_fmt="rgb24"),
}


def mutations(video: bytes, count: int):
    """One to eight flipped bits, or bytes deleted, inserted or overwritten, anywhere; the same in every run."""
    rng = np.random.default_rng(len(video))
    for number in range(count):
        damaged = bytearray(video)
        at, length = int(rng.integers(len(video))), int(rng.integers(1, 200))
        if number % 4 == 0:
            for place in rng.integers(0, len(video), rng.integers(1, 9)):
                damaged[place] ^= 1 << int(rng.integers(8))
        elif number % 4 == 1:
            del damaged[at : at + length]
        elif number % 4 == 2:
            damaged[at:at] = rng.bytes(length)
        else:
            damaged[at : at + length] = rng.bytes(length)
        yield bytes(damaged)


def outcome(video: bytes) -> int | str:
    """The number of frames in a file, or why it is refused."""
    try:
        return probe_video(video).frames
    except VideoError as error:
        return error.reason


@pytest.mark.parametrize("kind", CONTAINERS)
def test_damage_is_a_video_error_or_frames_of_one_size(kind):
    for damaged in mutations(CONTAINERS[kind](), 60):
        try:
            info = probe_video(damaged)
            frames = read_frames(damaged, range(min(info.frames, 20)))
        except VideoError:
            continue
        assert frames.shape == (min(info.frames, 20), info.height, info.width, 3)


@pytest.mark.parametrize("bit", range(8))
def test_a_stream_that_appears_mid_file_does_not_crash(bit):
    """After the 5 seconds in which FFmpeg looks for streams, PyAV raises IndexError for such a packet."""
    video = bytearray(encode(CLIP.repeat(40, 0), "mpegts", options={"g": "25"}))
    packet = 188 * (len(video) // 188 - 20)
    for start in range(packet, len(video), 188):
        damaged = bytearray(video)
        damaged[start + 2] ^= 1 << bit  # of the packet's id
        assert outcome(bytes(damaged)) in {*range(1, 401), "corrupt", "truncated"}
