"""Uploads to the page of `vidjax demo`: what it accepts, how it rejects the rest, and that nothing stays."""

import dataclasses
import os
import time

import numpy as np
import pytest
from videos import encode, moving_texture, sound_only

from vidjax.data import probe_video, read_frames
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.video import strangers
from vidjax.demo import uploads
from vidjax.demo.limits import Limits, shown_name
from vidjax.demo.preview import is_playable, write_preview
from vidjax.demo.uploads import RefusedError, Uploads
from vidjax.errors import ConfigError, VideoError

RECIPE = ClipRecipe(num_frames=4, stride=2, image_size=32)


@pytest.fixture
def received(tmp_path):
    """Write a file where gradio would and return its path."""

    def receive(content, name="video.mp4"):
        folder = tmp_path / "received" / f"hash{len(list(tmp_path.rglob('*')))}"
        folder.mkdir(parents=True)
        (folder / name).write_bytes(content)
        return str(folder / name)

    return receive


@pytest.fixture
def kept(tmp_path):
    return Uploads(tmp_path / "received", Limits(megabytes=1, seconds=2))


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_limits_must_be_positive():
    for wrong in ({"megabytes": 0}, {"seconds": -1}):
        with pytest.raises(ConfigError, match="must be above 0"):
            Limits(**wrong)


def test_a_video_over_a_limit_is_not_answered(tmp_path, monkeypatch):
    path = tmp_path / "video.mp4"
    path.write_bytes(encode(moving_texture(50, 32, 48), rate=25))
    assert Limits(seconds=2).probe(str(path)).frames == 50
    with pytest.raises(VideoError, match="the video has 2 seconds in 50 frames; the limit is 1 seconds"):
        Limits(seconds=1).probe(str(path))
    monkeypatch.setattr(strangers, "FASTEST", 24)
    with pytest.raises(VideoError, match="the video has 2 seconds in 50 frames; the limit is 48 frames"):
        Limits(seconds=2).probe(str(path))
    monkeypatch.setattr(strangers, "PIXELS", 32 * 48 - 1)
    with pytest.raises(VideoError, match="frames of 48 x 32 exceed"):
        Limits(seconds=20).probe(str(path))
    with path.open("ab") as file:
        file.truncate(2**20 + 1)
    with pytest.raises(VideoError, match="larger than 1 MiB"):
        Limits(megabytes=1).probe(str(path))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "a.mp4 is empty: it has no bytes."),
        (b"<html>", "a.mp4 is not a video that can be read here; MP4, MOV, WebM, MKV and AVI files can."),
        (sound_only(), "a.mp4 has only sound or data; give a video."),
        (encode(moving_texture(1)), "a.mp4 is a single picture; give a video."),
        (encode(moving_texture(60)), "a.mp4 is too large: the video has 2 seconds in 60 frames; the limit"),
        (bytes(2**20 + 1), "a.mp4 is too large: the file is larger than 1 MiB."),
        (encode(moving_texture())[:3000], "a.mp4 is cut off: the file ends before its video does; "),
    ],
)  # fmt: skip
def test_a_rejected_file_gives_a_message_and_is_deleted(content, told, received, kept, tmp_path):
    with pytest.raises(RefusedError) as refused:
        kept.take("me", received(content), "a.mp4")
    assert str(refused.value).startswith(told)
    assert str(tmp_path) not in str(refused.value)
    assert files(tmp_path) == []
    assert kept.of("me") is None


@pytest.mark.parametrize(
    ("video", "told"),
    [
        (
            lambda: encode(np.zeros((2, 4320, 7680, 3), np.uint8), options={"preset": "ultrafast"}),
            "a.mp4 is too large: frames of 7680 x 4320 exceed",
        ),
        (
            lambda: encode(moving_texture(3), times=[0, 35_999_960, 36_000_000]),
            "a.mp4 is too large: the video has 36000 seconds in 3 frames; the limit is 600 seconds",
        ),
    ],
    ids=["8K", "ten hours"],
)
def test_8k_and_ten_hours_exceed_the_limits_that_a_page_has_by_default(video, told, received, tmp_path):
    with pytest.raises(RefusedError) as refused:
        Uploads(tmp_path / "received", Limits()).take("me", received(video()), "a.mp4")
    assert str(refused.value).startswith(told)
    assert files(tmp_path) == []


@pytest.mark.parametrize("name", ["notes.txt", "picture.jpg", "other.webm"])
def test_a_video_with_the_wrong_extension_is_answered_and_played_as_a_copy(name, received, kept):
    upload = kept.take("me", received(encode(moving_texture(20)), name), name)
    assert upload.name == name
    assert upload.clip(RECIPE).shape == (4, 32, 32, 3)
    assert upload.player.endswith(".mp4")
    assert is_playable(upload.player)


def test_every_kind_of_failure_has_a_message_without_paths():
    for reason in VideoError.REASONS:
        said = strangers.refusal(
            VideoError(reason, "/tmp/secret/x.mp4 [Errno 1094995529]"), "x.mp4", "/tmp/secret/x.mp4"
        )
        assert "x.mp4" in said
        assert "secret" not in said


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("../../etc/passwd.mp4", "passwd.mp4"),
        ("C:\\videos\\cat.mov", "cat.mov"),
        ("\x1b[31mred.mp4", "\\x1b[31mred.mp4"),
        ("", "the file"),
        ("long" * 40 + ".mp4", "long" * 11 + "lon…" + "longlong.mp4"),
    ],
)
def test_names_are_shown_without_folders_or_codes(given, shown):
    assert shown_name(given) == shown


def test_a_visitors_video_goes_with_the_next_one_and_with_the_visitor(received, kept, tmp_path):
    first = kept.take("me", received(encode(moving_texture(20))), "first.mp4")
    other = kept.take("another", received(encode(moving_texture(21))), "other.mp4")
    assert first.clip(RECIPE).shape == (4, 32, 32, 3)
    second = kept.take("me", received(encode(moving_texture(22))), "second.mp4")
    assert not os.path.exists(first.path)
    assert kept.of("me") is second
    kept.forget("me")
    kept.forget("me")
    assert files(tmp_path) == [type(tmp_path)(other.path)]
    assert kept.of("another") is other


def test_the_same_file_from_two_visitors_is_kept_for_each(received, kept):
    video = encode(moving_texture(20))
    one, other = (kept.take(name, received(video), "same.mp4") for name in ("one", "other"))
    kept.forget("one")
    assert not os.path.exists(one.path)
    assert other.clip(RECIPE).shape[0] == 4


def test_only_a_file_that_was_received_is_taken(received, kept, tmp_path):
    """A browser may name any path; files at other paths are neither moved nor deleted."""
    mine = kept.take("me", received(encode(moving_texture(20))), "mine.mp4")
    (tmp_path / "elsewhere" / "runs").mkdir(parents=True)
    private = tmp_path / "elsewhere" / "runs" / "private.mp4"
    private.write_bytes(encode(moving_texture(20)))
    new = received(b"of another visitor")
    escapes = tmp_path / "received" / "hash" / ".." / ".." / "elsewhere" / "runs" / "private.mp4"
    for path in (private, escapes, mine.path, os.path.dirname(mine.path), os.path.dirname(new), tmp_path / "received"):
        with pytest.raises(RefusedError, match=r"^a\.mp4 is no longer available; upload it again\.$"):
            kept.take("another", str(path), "a.mp4")
    assert {str(path) for path in files(tmp_path)} == {mine.path, str(private), new}


def test_an_example_is_copied_and_exempt_from_the_limits(kept, tmp_path):
    example = tmp_path / "example.mp4"
    example.write_bytes(encode(moving_texture(80)))
    upload = kept.show("me", str(example), "a texture")
    assert upload.info.duration > 2
    kept.forget("me")
    assert example.exists()
    assert not os.path.exists(upload.path)


def test_old_videos_and_files_that_nobody_claims_are_swept(received, kept, tmp_path, monkeypatch):
    upload = kept.take("me", received(encode(moving_texture(20))), "mine.mp4")
    lost, new = received(b"lost"), received(b"new")
    os.utime(lost, (time.time() - 1000,) * 2)
    os.utime(upload.path, (time.time() - 1000,) * 2)
    kept.sweep()
    assert {str(path) for path in files(tmp_path)} == {new, upload.path}
    upload.used -= uploads.KEPT + 1
    kept.sweep()
    assert files(tmp_path) == [type(tmp_path)(new)]


def test_a_video_is_not_swept_while_its_copy_for_browsers_is_made(received, kept, monkeypatch):
    monkeypatch.setattr(uploads, "_UNCLAIMED", -1.0)
    shares = []

    def tell(share, words):
        shares.append(share)
        kept.sweep()

    upload = kept.take("me", received(encode(moving_texture(20), "avi", "mpeg4"), "v.avi"), "v.avi", tell)
    assert shares
    assert os.path.exists(upload.player)
    assert upload.clip(RECIPE).shape[0] == 4


@pytest.mark.parametrize(
    ("container", "codec", "pix_fmt", "name", "plays"),
    [
        ("mp4", "libx264", "yuv420p", "v.mp4", True),
        ("mov", "libx264", "yuv420p", "v.mov", True),
        ("webm", "libvpx-vp9", "yuv420p", "v.webm", True),
        ("mp4", "libx265", "yuv420p", "v.mp4", False),
        ("mp4", "libx264", "yuv444p", "v.mp4", False),
        ("matroska", "libx264", "yuv420p", "v.mkv", False),
        ("avi", "mpeg4", "yuv420p", "v.avi", False),
        ("mp4", "libx264", "yuv420p", "v.txt", False),  # would be served as text
        ("mp4", "libx264", "yuv420p", "v.webm", False),
    ],
)
def test_a_video_browsers_cannot_play_gets_a_copy_with_its_timing(container, codec, pix_fmt, name, plays, tmp_path):
    """A frame of the copy is compared with the video's frame at the same time, so that seeking shows the right one."""
    path, copy = str(tmp_path / name), str(tmp_path / "copy.mp4")
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    frames = moving_texture(50, 96, 128)
    (tmp_path / name).write_bytes(encode(frames, container, codec, pix_fmt=pix_fmt, options=options))
    assert is_playable(path) == plays
    shares = []
    assert write_preview(path, probe_video(path), copy, shares.append)
    assert is_playable(copy)
    info = probe_video(copy)
    assert (info.frames, info.width, info.height) == (50, 128, 96)
    assert info.duration == pytest.approx(2.0, abs=0.05)
    assert 0 <= shares[0] < shares[-1] <= 1
    shown = read_frames(copy, [0, 25, 49]).astype(int)
    assert abs(shown - frames[[0, 25, 49]]).mean() < 20 < abs(shown - frames[[3, 28, 40]]).mean()


def test_a_large_video_is_copied_smaller_and_slower_and_a_giant_one_by_its_key_frames(tmp_path, monkeypatch):
    path, copy = str(tmp_path / "v.mp4"), str(tmp_path / "copy.mp4")
    (tmp_path / "v.mp4").write_bytes(
        encode(moving_texture(60, 400, 720), rate=60, options={"g": "20", "sc_threshold": "0"})
    )
    assert write_preview(path, probe_video(path), copy, lambda share: None)
    info = probe_video(copy)
    assert (info.height, info.width) == (360, 648)
    assert info.frames == 30
    monkeypatch.setattr("vidjax.demo.preview._DECODED", 1000)
    assert not write_preview(path, probe_video(path), copy, lambda share: None)
    assert probe_video(copy).frames == 4  # the last key frame is repeated at the end
    assert probe_video(copy).duration == pytest.approx(1.0, abs=0.1)


def test_the_shown_frames_come_from_every_clip_of_the_model(received, kept):
    """Two clips of four frames, every 2nd, of 50: frames 0 to 6 at the start, and those up to 48 or 49 at the end."""
    upload = kept.take("visitor", received(encode(moving_texture(50, 32, 32), rate=25)), "a.mp4")
    frames, seconds = upload.seen(dataclasses.replace(RECIPE, clips=2, crops=3), 16)
    numbers = [round(25 * second) for second in seconds]
    assert numbers[:4] == [0, 2, 4, 6]
    assert numbers[4:] in ([42, 44, 46, 48], [43, 45, 47, 49])
    np.testing.assert_array_equal(frames, read_frames(upload.path, numbers))
    few, times = upload.seen(dataclasses.replace(RECIPE, clips=2), 3)
    assert [round(25 * time) for time in times] == [numbers[0], numbers[4], numbers[7]]
    np.testing.assert_array_equal(few, frames[[0, 4, 7]])
