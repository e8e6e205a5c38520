"""Re-encoded videos: the same frames, smaller, with regular key frames, and the same bytes each time."""

import io

import av
import numpy as np
import pytest
from videos import decode_all, encode, flip_bits, moving_texture

from vidjax.data.prepare.encode import Encoding
from vidjax.data.video.decode import read_frames
from vidjax.errors import ConfigError, VideoError


def test_every_frame_is_there_in_order_and_looks_the_same():
    frames = moving_texture(40, 96, 128)
    source = encode(frames, options={"g": "250", "crf": "10"})
    video, info = Encoding(short_side=96, crf=10).encode(source)
    assert (info.frames, info.height, info.width, info.fps) == (40, 96, 128, 25.0)
    decoded = decode_all(video)
    distance = np.abs(decoded[:, None, ::3, ::3].astype(int) - frames[None, :, ::3, ::3]).mean((2, 3, 4))
    np.testing.assert_array_equal(distance.argmin(axis=1), np.arange(40))
    assert np.abs(decoded.astype(int) - decode_all(source)).mean() < 5


@pytest.mark.parametrize("every", [1, 12])
def test_key_frames_come_as_often_as_asked(every):
    video, _ = Encoding(short_side=64, key_every=every).encode(encode(moving_texture(30, 64, 64)))
    with av.open(io.BytesIO(video)) as container:
        keys = [number for number, frame in enumerate(container.decode(video=0)) if frame.key_frame]
    assert keys == list(range(0, 30, every))


@pytest.mark.parametrize(
    ("height", "width", "stored"),
    [(120, 200, (64, 106)), (200, 120, (106, 64)), (40, 60, (40, 60)), (63, 41, (62, 40))],
)
def test_the_short_side_shrinks_but_never_grows_and_sides_are_even(height, width, stored):
    source = encode(moving_texture(6, height, width), pix_fmt="yuv444p")
    video, info = Encoding(short_side=64).encode(source)
    assert (info.height, info.width) == stored
    assert read_frames(video, [5]).shape[1:3] == stored


def test_videos_are_stored_as_displayed():
    frames = moving_texture(8, 48, 64)
    video, info = Encoding(short_side=48).encode(encode(frames, rotation=90))
    assert (info.height, info.width) == (64, 48)
    upright = np.rot90(frames, 1, (1, 2))
    stored = read_frames(video, range(8)).astype(int)
    assert np.abs(stored - upright).mean() < np.abs(stored - upright[:, ::-1, ::-1]).mean() / 2


@pytest.mark.parametrize("side", [48, 100])
def test_the_same_video_gives_the_same_bytes(side):
    source = encode(moving_texture(20, side, side))
    assert len({Encoding().encode(source)[0] for _ in range(8)}) == 1


def test_two_of_three_pictures_can_be_left_out_and_none_is_missed():
    video, _ = Encoding(short_side=64).encode(encode(moving_texture(72, 64, 64)))
    with av.open(io.BytesIO(video)) as container:
        container.streams.video[0].codec_context.skip_frame = "NONREF"
        assert len(list(container.decode(video=0))) == 72 // 12 * 4  # I, P, P, and P at the end before the next I
    np.testing.assert_array_equal(read_frames(video, range(1, 64, 4)), decode_all(video)[1:64:4])


def test_a_video_that_is_damaged_is_refused_not_patched_up():
    with pytest.raises(VideoError, match=r"corrupt|truncated"):
        Encoding(short_side=96).encode(flip_bits(encode(moving_texture(40))))


@pytest.mark.parametrize("values", [{"short_side": 31}, {"short_side": 255}, {"key_every": 0}, {"crf": 52}])
def test_invalid_values_are_refused(values):
    with pytest.raises(ConfigError, match=r"short side|key frame"):
        Encoding(**values)
