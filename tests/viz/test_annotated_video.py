"""An annotated copy has the frames of its source, at their times and rotated as displayed, and its sound."""

import av
import numpy as np
import pytest
from colours import write_colours
from videos import encode, flip_bits, moving_texture

from vidjax.data import read_frames
from vidjax.errors import VideoError
from vidjax.viz.annotated_video import annotate
from vidjax.viz.timeline import Cue

NOISE = 12  # how much encoding at this quality may change a pixel, out of 255


def shown(path):
    """The times in seconds from the first frame, and the RGB frames, as a player shows them."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        turns = [round(frame.rotation / 90) for frame in frames]
        pixels = [np.rot90(frame.to_ndarray(format="rgb24"), turn) for frame, turn in zip(frames, turns, strict=True)]
        return [float(frame.time - frames[0].time) for frame in frames], np.stack(pixels).astype(int)


def packets(path):
    """The bytes and times of the sound, counted from the first picture."""
    with av.open(str(path)) as container:
        origin = next(container.decode(video=0)).time
    with av.open(str(path)) as container:
        found = [packet for packet in container.demux(audio=0) if packet.size]
        return [bytes(packet) for packet in found], [float(packet.pts * packet.time_base) - origin for packet in found]


def test_frames_times_and_pixels_outside_of_the_label_equal_the_source(tmp_path):
    source, target = str(tmp_path / "a.mp4"), tmp_path / "b.mp4"
    write_colours(source, [("red", 2), ("blue", 2)], size=(120, 160))
    assert annotate(source, target, [Cue(0.5, 1.5, (("red", "98%"),))]) == ""
    with av.open(str(target)) as copy:
        assert copy.streams.video[0].codec_context.name == "h264"
    before, after = shown(source), shown(target)
    np.testing.assert_allclose(after[0], before[0], atol=1e-4)
    changed = np.abs(after[1] - before[1]).max(axis=-1) > 40
    labelled = (np.array(before[0]) >= 0.5) & (np.array(before[0]) < 1.5)
    assert not changed[~labelled].any()
    assert changed[labelled].sum(axis=(1, 2)).min() > 200
    rows, columns = np.flatnonzero(changed.any(axis=(0, 2))), np.flatnonzero(changed.any(axis=(0, 1)))
    assert rows.max() < 40  # in the top left corner
    assert columns.max() < 100
    outside = np.abs(after[1] - before[1])[:, 48:]
    assert outside.mean() < 2
    assert outside.max() <= NOISE


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_rotated_video_is_written_as_displayed(rotation, tmp_path):
    source, target = str(tmp_path / "a.mp4"), tmp_path / "b.mp4"
    write_colours(source, [("green", 1)], size=(64, 120), rotation=rotation)
    annotate(source, target, [])
    with av.open(str(target)) as container:
        frame = next(container.decode(video=0))
        assert frame.rotation == 0
        assert (frame.height, frame.width) == ((120, 64) if rotation % 180 else (64, 120))
    assert np.abs(shown(target)[1] - shown(source)[1]).max() <= NOISE
    assert np.abs(read_frames(target, [3]).astype(int) - read_frames(source, [3])).max() <= NOISE


def test_uneven_times_are_kept(tmp_path):
    source, target = str(tmp_path / "a.mp4"), tmp_path / "b.mp4"
    times = [0, 40, 80, 500, 520, 900, 1700, 1740, 1780, 2000]
    write_colours(source, [("red", 1)], times=times)
    annotate(source, target, [Cue(0.5, 1.0, (("red", "98%"),))])
    np.testing.assert_allclose(shown(target)[0], np.array(times) / 1000, atol=1e-3)
    labelled = [frame[:20, :40, 0].min() < 120 for frame in shown(target)[1]]
    assert labelled == [False] * 3 + [True] * 3 + [False] * 4


@pytest.mark.parametrize(
    ("suffix", "sound"), [("mp4", "aac"), ("ts", "aac"), ("mkv", "libopus"), ("mp4", "libmp3lame")]
)
def test_the_sound_is_copied_packet_by_packet_and_stays_in_step(suffix, sound, tmp_path):
    source, target = str(tmp_path / f"a.{suffix}"), tmp_path / "b.mp4"
    write_colours(source, [("red", 2)], sound=sound)
    assert annotate(source, target, []) == ""
    (before, at), (after, then) = packets(source), packets(target)
    if suffix == "ts":  # skip the headers that MPEG-TS repeats in each packet
        before = [packet[7:] for packet in before]
    assert after == before
    np.testing.assert_allclose(then, at, atol=0.03)


def test_sound_that_an_mp4_cannot_hold_is_left_out_with_a_note(tmp_path):
    source, target = str(tmp_path / "a.mkv"), tmp_path / "b.mp4"
    write_colours(source, [("red", 1)], sound="pcm_s16le")
    assert "(pcm_s16le) is left out" in annotate(source, target, [])
    assert len(shown(target)[1]) == 10


@pytest.mark.parametrize(
    ("container", "codec", "pix_fmt"),
    [
        ("mp4", "libx264", "yuv444p"),
        ("mp4", "libx264", "yuvj420p"),
        ("mp4", "libx264", "yuv422p10le"),
        ("gif", "gif", "rgb8"),
    ],
)
def test_other_pixel_formats_and_odd_sides(container, codec, pix_fmt, tmp_path):
    size = (31, 45) if pix_fmt in ("yuv444p", "rgb8") else (32, 46)
    grey = np.broadcast_to(np.linspace(60, 180, 12).astype(np.uint8)[:, None, None, None], (12, *size, 3))
    source, target = tmp_path / f"a.{container}", tmp_path / "b.mp4"
    source.write_bytes(encode(np.ascontiguousarray(grey), container, codec, pix_fmt=pix_fmt))
    annotate(str(source), target, [])
    before, after = shown(source)[1], shown(target)[1]
    assert after.shape == (12, 32, 46, 3)
    difference = after[:, : size[0], : size[1]] - before
    assert np.abs(difference.mean(axis=(1, 2))).max() < 3  # per frame and colour; a GIF is dithered
    if container != "gif":
        assert np.abs(difference).mean() < 2


def test_a_damaged_frame_leaves_no_copy(tmp_path):
    source, target = tmp_path / "a.mp4", tmp_path / "b.mp4"
    source.write_bytes(flip_bits(encode(moving_texture(40), options={"g": "10"}), count=400))
    with pytest.raises(VideoError, match=r"a\.mp4"):
        annotate(str(source), target, [])
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_names_and_lines_that_do_not_fit_are_cut(tmp_path):
    source, target = str(tmp_path / "a.mp4"), tmp_path / "b.mp4"
    write_colours(source, [("red", 1)], size=(48, 48))
    lines = tuple(("a class with a very long name " * 4, "98%") for _ in range(40))
    annotate(source, target, [Cue(0.0, 1.0, lines)])
    assert shown(target)[1].shape == (10, 48, 48, 3)
