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


@pytest.mark.parametrize("container", ["mp4", "mpegts", "h264", "avi"])
@pytest.mark.parametrize("wanted", [range(40), [0], [39], [3, 17, 4, 17, 31], range(1, 40, 7)])
def test_wanted_frames_come_one_by_one_as_they_are_read_together(container, wanted):
    codec = "mpeg4" if container == "avi" else "libx264"
    content = encode(moving_texture(40, 32, 48), container, codec, options={"bf": "2", "g": "9"})
    with Video(content) as video:
        together = video.read(sorted(set(wanted)))
        for _ in range(2):  # the decoder is left as it was
            found = list(video.iterate(wanted))
            assert [number for number, _ in found] == sorted(set(wanted))
            np.testing.assert_array_equal(np.stack([frame for _, frame in found]), together)
        next(video.iterate([0, 20]))  # abandoned
        np.testing.assert_array_equal(video.read([39])[0], decode_all(content)[39])


def test_a_frame_that_cannot_be_decoded_ends_the_wanted_ones_too():
    with Video(flip_bits(encode(moving_texture(40)), count=400)) as video, pytest.raises(VideoError):
        list(video.iterate(range(40)))
    with Video(encode(CLIP)) as video, pytest.raises(IndexError, match="frames 3 to 12 requested"):
        list(video.iterate([3, 12]))
