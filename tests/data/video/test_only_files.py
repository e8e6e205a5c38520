"""Only regular files and bytes are read: no URL, playlist, pipe or pattern reaches FFmpeg, and no giant frame."""

import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from peak_memory import PEAK_MEMORY
from videos import decode_all, encode, moving_texture

from vidjax.data import probe_video, read_frames
from vidjax.data.prepare.codec import Storing
from vidjax.data.sources.rows import Row
from vidjax.errors import VideoError

CLIP = moving_texture(6, 32, 48)
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n"
SDP += "a=rtpmap:96 H264/90000\n"
TEXTS = {
    "an SDP session": SDP,
    "a concatenation": "ffconcat version 1.0\nfile other.mp4\n",
    "an HLS playlist": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.mp4\n#EXT-X-ENDLIST\n",
    "a DASH manifest": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
    "a text that FFmpeg would draw": "notes\n" * 200,
}


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.parametrize("name", ["list.mp4", "list.txt", "list.m3u8", "list.sdp", "list.mpd", None])
@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_that_names_other_media_is_no_video(kind, name, tmp_path):
    (tmp_path / "other.mp4").write_bytes(encode(CLIP))
    text = TEXTS[kind].replace("{port}", str(free_port())).encode()
    source = text if name is None else tmp_path / name
    if name:
        source.write_bytes(text)
    begun = time.monotonic()
    with pytest.raises(VideoError) as caught:
        probe_video(source)
    assert caught.value.reason == "not_video"
    assert time.monotonic() - begun < 5  # an SDP session waits 21 s for packets


@pytest.mark.parametrize("name", ["pipe:0", "http:x.mp4", "concat:a|b", "file:x.mp4", "data:x", "-", "a%d.mp4", "fd:0"])
def test_a_file_with_the_name_of_an_address_is_a_file(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    video = encode(CLIP)
    with open(name, "wb") as file:
        file.write(video)
    np.testing.assert_array_equal(read_frames(name, range(6)), decode_all(video))


def test_numbered_pictures_are_no_video(tmp_path):
    png = encode(CLIP[:1], "image2pipe", "png", pix_fmt="rgb24")
    for number in range(3):
        (tmp_path / f"a{number}.png").write_bytes(png)
    (tmp_path / "a%d.png").write_bytes(png)
    with pytest.raises(VideoError) as caught:
        probe_video(tmp_path / "a%d.png")
    assert caught.value.reason == "not_video"
    assert probe_video(tmp_path / "a0.png").frames == 1


@pytest.mark.parametrize("read", [probe_video, lambda path: Storing().store(Row(str(path), 0, "x"))])
def test_pipes_and_devices_are_not_opened(read, tmp_path):
    os.mkfifo(tmp_path / "video.mp4")
    for path in (tmp_path / "video.mp4", "/dev/zero"):
        with pytest.raises(VideoError, match="a pipe, a socket or a device") as caught:
            read(path)
        assert caught.value.reason == "not_video"


def test_a_giant_frame_is_refused_before_there_is_memory_for_it(tmp_path):
    """A GIF of a few KiB declares 12000 x 12000 pixels, which would be 576 MB decoded."""
    gif = bytearray(encode(CLIP, "gif", "gif", pix_fmt="rgb8"))
    gif[6:10] = (12000).to_bytes(2, "little") * 2
    (tmp_path / "giant.gif").write_bytes(gif)
    script = f"""
import sys
from vidjax.data import probe_video
from vidjax.errors import VideoError
{PEAK_MEMORY}
before = peak_memory()
try:
    probe_video(sys.argv[1])
except VideoError as error:
    print(error.reason, (peak_memory() - before) >> 20)
"""
    run = [sys.executable, "-c", script, str(tmp_path / "giant.gif")]
    reason, mebibytes = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
    assert reason == "too_large"
    assert int(mebibytes) < 100


@pytest.mark.parametrize(
    ("container", "codec", "pix_fmt"),
    [
        ("mp4", "libx264", "yuv420p"),
        ("webm", "libvpx-vp9", "yuv420p"),
        ("avi", "mpeg4", "yuv420p"),
        ("mpeg", "mpeg2video", "yuv420p"),
        ("gif", "gif", "rgb8"),
        ("apng", "apng", "rgb24"),
    ],
)
def test_frames_over_the_limit_are_too_large_in_any_container(container, codec, pix_fmt, monkeypatch):
    video = encode(CLIP, container, codec, pix_fmt=pix_fmt)
    monkeypatch.setattr("vidjax.data.video.container.MAX_PIXELS", 32 * 48)
    assert probe_video(video).frames == 6
    monkeypatch.setattr("vidjax.data.video.container.MAX_PIXELS", 32 * 48 - 1)
    with pytest.raises(VideoError) as caught:
        probe_video(video)
    assert caught.value.reason == "too_large"


def test_a_size_that_grows_in_mid_stream_is_held_to_the_limit(monkeypatch):
    grown = encode(CLIP, "h264") + encode(moving_texture(6, 96, 128), "h264")
    monkeypatch.setattr("vidjax.data.video.container.MAX_PIXELS", 64 * 64)
    assert read_frames(grown, range(6)).shape == (6, 32, 48, 3)
    with pytest.raises(VideoError) as caught:
        read_frames(grown, range(6, 12))
    assert caught.value.reason == "too_large"
