"""A file that was cut off is detected, or is of a kind that may end anywhere, which training refuses."""

import dataclasses
import itertools
import struct

import numpy as np
import pytest
from videos import decode_all, encode, moving_texture

from vidjax.config import DataConfig
from vidjax.data import probe_video, read_frames, train_batches
from vidjax.data.prepare.codec import Storing
from vidjax.data.prepare.encode import Encoding
from vidjax.data.sources.in_memory import InMemorySource
from vidjax.data.sources.rows import Row
from vidjax.data.video.readers import open_video
from vidjax.data.video.truncation import Ending, find_ending, is_cut_off
from vidjax.errors import VideoError

CLIP = moving_texture(12, 32, 48)
GOP = {"g": "4"}
VP8 = {**GOP, "deadline": "realtime", "cpu-used": "8"}
NO_INDEX = {"movflags": "frag_keyframe+empty_moov+default_base_moof+skip_trailer"}


def fragments() -> bytes:
    return encode(CLIP, options=GOP, muxer=NO_INDEX)


def boxes(video: bytes) -> list[tuple[bytes, int, int]]:
    """Name, start and end of the boxes of an MP4."""
    found, at = [], 0
    while at + 8 <= len(video):
        end = at + int.from_bytes(video[at : at + 4], "big")
        found.append((video[at + 4 : at + 8], at, end))
        at = end
    return found


def with_segment_index(video: bytes) -> bytes:
    """A fragmented MP4 with a sidx in front of its fragments (ISO/IEC 14496-12, 8.16.3), as YouTube serves them."""
    starts = [begin for name, begin, _ in boxes(video) if name == b"moof"]
    sizes = [after - begin for begin, after in itertools.pairwise([*starts, len(video)])]
    entries = b"".join(struct.pack(">III", size, 4, 1 << 31) for size in sizes)
    body = struct.pack(">IIIIIHH", 0, 1, 25, 0, 0, 0, len(sizes)) + entries
    box = struct.pack(">I4s", 8 + len(body), b"sidx") + body
    return video[: starts[0]] + box + video[starts[0] :]


SAYS_ITS_END = {
    "fragmented mp4, index behind": lambda: encode(CLIP, options=GOP, muxer={"movflags": "frag_keyframe+empty_moov"}),
    "fragmented mp4, index in front": lambda: with_segment_index(fragments()),
    "wmv": lambda: encode(CLIP, "asf", "wmv2", options=GOP),
    "flv": lambda: encode(CLIP, "flv", "flv", options=GOP),
    "flv h264": lambda: encode(CLIP, "flv", options=GOP),
    "apng": lambda: encode(CLIP, "apng", "apng", pix_fmt="rgb24"),
    "ogg": lambda: encode(CLIP, "ogg", "libvpx", options=VP8),
    "mp4": lambda: encode(CLIP, options=GOP),
    "webm": lambda: encode(CLIP, "webm", "libvpx", options=VP8),
    "matroska": lambda: encode(CLIP, "matroska", options=GOP),
    "avi": lambda: encode(CLIP, "avi", "mpeg4", options=GOP),
    "gif": lambda: encode(CLIP, "gif", "gif", pix_fmt="rgb8"),
}
COUNTS_ITS_FRAMES = ("mp4", "avi")


def unfinished_avi() -> bytes:
    """An AVI as FFmpeg leaves it when killed: without an index, sizes or numbers of frames."""
    video = bytearray(encode(CLIP, "avi", "mpeg4", options=GOP))
    del video[video.rindex(b"idx1") :]
    for size in (4, video.index(b"movi") - 4):
        video[size : size + 4] = b"\xff" * 4
    for count in (video.index(b"avih") + 24, video.index(b"strh") + 40):
        assert int.from_bytes(video[count : count + 4], "little") == len(CLIP)
        video[count : count + 4] = bytes(4)
    return bytes(video)


MAY_END_ANYWHERE = {
    "unfinished avi": unfinished_avi,
    "raw h264": lambda: encode(CLIP, "h264", options=GOP),
    "raw mpeg-4": lambda: encode(CLIP, "m4v", "mpeg4", options=GOP),
    "fragmented mp4, no index": fragments,
    "mpeg-ts": lambda: encode(CLIP, "mpegts", options=GOP),
    "mpeg-ps": lambda: encode(CLIP, "mpeg", "mpeg2video", options=GOP),
    "yuv4mpeg": lambda: encode(CLIP, "yuv4mpegpipe", "wrapped_avframe"),
    "live flv": lambda: encode(CLIP, "flv", "flv", options=GOP, muxer={"flvflags": "no_duration_filesize"}),
    "live webm": lambda: encode(CLIP, "webm", "libvpx", options=VP8, muxer={"live": "1"}),
}


def cuts(video: bytes) -> list[int]:
    """About 200 evenly spread lengths, every length near the end, and the end of each MP4 box or FLV tag."""
    places = {*range(1, len(video), max(1, len(video) // 200)), *range(len(video) - 12, len(video))}
    places |= {end for _, _, end in boxes(video)} if video[4:8] == b"ftyp" else set()
    at = 13
    while video[:3] == b"FLV" and at + 11 <= len(video):
        at += 15 + int.from_bytes(video[at + 1 : at + 4], "big")
        places.add(at)
    return sorted(place for place in places if 0 < place < len(video))


def reason(video: bytes, **options) -> str:
    """Why a file is refused; empty when it is opened."""
    try:
        open_video(video, **options).close()
    except VideoError as error:
        return error.reason
    return ""


@pytest.mark.parametrize("kind", SAYS_ITS_END)
def test_every_cut_is_found_where_the_container_declares_its_end(kind):
    video = SAYS_ITS_END[kind]()
    assert reason(video, open_ended=False) == ""
    lengths = cuts(video)
    print(f"{kind}: {len(lengths)} cuts of {len(video)} bytes")
    opened = [length for length in lengths if not reason(video[:length], open_ended=False)]
    if kind not in COUNTS_ITS_FRAMES:
        assert opened == []
    for length in opened:  # only what follows the frames is missing
        np.testing.assert_array_equal(read_frames(video[:length], range(len(CLIP))), decode_all(video))


@pytest.mark.parametrize("kind", MAY_END_ANYWHERE)
def test_a_file_that_may_end_anywhere_is_refused_only_for_training(kind):
    video = MAY_END_ANYWHERE[kind]()
    assert probe_video(video).frames == len(CLIP)
    assert reason(video, open_ended=False) == "open_ended"
    assert [length for length in cuts(video) if not reason(video[:length], open_ended=False)] == []


def test_an_asf_whose_writer_was_killed_is_cut_off():
    """FFmpeg writes the size of the file into the header when it finishes; until then it is 0."""
    video = bytearray(SAYS_ITS_END["wmv"]())
    at = video.index(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")) + 40
    assert int.from_bytes(video[at : at + 8], "little") == len(video)
    video[at : at + 8] = bytes(8)
    assert reason(bytes(video)) == "truncated"


@pytest.mark.parametrize("cache_gb", [0, 1])
def test_training_takes_a_substitute_and_gives_the_reason_unless_configured_otherwise(cache_gb, tmp_path):
    for name, content in (("a.mp4", encode(CLIP)), ("b.h264", MAY_END_ANYWHERE["raw h264"]())):
        (tmp_path / name).write_bytes(content)
    rows = [Row(str(tmp_path / name), 0, name) for name in ("a.mp4", "b.h264")]
    source = InMemorySource("own", rows, labels=("a",))
    data = DataConfig(num_frames=2, stride=1, image_size=16, global_batch=2, workers=0, cache_gb=cache_gb)

    def failures(data):
        batches = train_batches(source, data, seed=0)
        batch = next(batches)
        batches.close()
        where = batch["failed"] >= 0
        found = zip(batch["failed"][where].tolist(), batch["failed_reason"][where].tolist(), strict=True)
        return [(row, VideoError.REASONS[reason]) for row, reason in found]

    assert failures(data) == [(1, "open_ended")]
    assert failures(dataclasses.replace(data, open_ended=True)) == []


@pytest.mark.parametrize("storing", [Storing(), Storing(encoding=Encoding(short_side=32))])
def test_such_a_file_is_not_prepared_for_training_either(storing, tmp_path):
    (tmp_path / "b.h264").write_bytes(MAY_END_ANYWHERE["raw h264"]())
    with pytest.raises(VideoError, match=r"may have been cut off.*--write-checksums") as caught:
        storing.store(Row(str(tmp_path / "b.h264"), 0, "b"))
    assert caught.value.reason == "open_ended"


def test_the_second_part_of_a_large_avi_is_checked_too():
    """An AVI over a gigabyte continues in a second RIFF chunk (OpenDML)."""
    part = b"AVIX" + bytes(996)
    whole = SAYS_ITS_END["avi"]() + b"RIFF" + struct.pack("<I", len(part)) + part
    assert not is_cut_off(whole)
    assert [length for length in range(len(whole) - 999, len(whole)) if not is_cut_off(whole[:length])] == []


def test_a_large_avi_whose_second_part_is_unfinished_may_end_anywhere():
    unfinished = SAYS_ITS_END["avi"]() + b"RIFF\xff\xff\xff\xffAVIX" + bytes(996)
    assert find_ending(unfinished) == Ending(open=True)


def test_a_cut_png_is_truncated():
    png = encode(CLIP[:1], "image2pipe", "png", pix_fmt="rgb24")
    assert probe_video(png).frames == 1
    assert {reason(png[:length]) for length in np.linspace(40, len(png) - 1, 20).astype(int)} == {"truncated"}
