"""A video played from start to end: each frame once, and the seconds at which a player shows it."""

import numpy as np
import pytest
from videos import decode_all, encode, flip_bits, moving_texture

from vidjax.data.video.decode import Video
from vidjax.errors import VideoError

CLIP = moving_texture(12, 32, 48)


def test_times_equal_the_files_also_at_a_variable_rate():
    times = [0, 40, 100, 500, 540, 900, 1000, 1300, 1310, 1700, 1710, 2000]
    with Video(encode(CLIP, options={"bf": "2"}, times=times)) as video:
        np.testing.assert_allclose(video.times[:-1], np.array(times) / 1000, atol=1e-6)
        assert len(video.times) == 13
        assert video.times[-1] > 2.0


@pytest.mark.parametrize("container", ["mp4", "mpegts", "h264"])
def test_times_at_a_constant_rate_begin_at_zero(container):
    """A raw stream has no times, so frames are counted."""
    with Video(encode(CLIP, container)) as video:
        np.testing.assert_allclose(video.times, np.arange(13) / video.fps, atol=1e-3)


@pytest.mark.parametrize("container", ["mp4", "mpegts", "h264"])
def test_every_frame_comes_once_and_in_order(container):
    content = encode(CLIP, container, options={"bf": "2", "g": "5"})
    with Video(content) as video:
        found = np.stack([frame.to_ndarray(format="rgb24") for frame in video.pictures()])
    np.testing.assert_array_equal(found, decode_all(content))


def test_a_frame_that_cannot_be_decoded_is_an_error():
    with Video(flip_bits(encode(moving_texture(40)), count=400)) as video, pytest.raises(VideoError):
        list(video.pictures())
