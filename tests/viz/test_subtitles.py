"""Subtitles as FFmpeg reads them: times to the millisecond, and names that are not read as markup."""

import av
import numpy as np
import pytest

from vidjax.viz.subtitles import srt, webvtt
from vidjax.viz.timeline import Cue, cues

CUES = [
    Cue(0.0, 1.5, (("putting <b>something</b> & more {\\an8}", "87%"),)),
    Cue(1.5, 3599.9996, (("two", "60%"), ("of them", "50%"))),
    Cue(3661.25, 3662.0, (("-->", "9%"),)),
]


def demuxed(path):
    """The cues that FFmpeg reads: start and end in milliseconds, and the text."""
    with av.open(str(path)) as container:
        [stream] = container.streams
        assert stream.type == "subtitle"
        return [
            (int(packet.pts * packet.time_base * 1000), int(packet.duration * packet.time_base * 1000), bytes(packet))
            for packet in container.demux(stream)
            if packet.size
        ]


@pytest.mark.parametrize(("write", "suffix"), [(srt, ".srt"), (webvtt, ".vtt")])
def test_ffmpeg_finds_the_cues(write, suffix, tmp_path):
    path = tmp_path / f"line{suffix}"
    path.write_text(write(CUES), encoding="utf-8")
    found = demuxed(path)
    assert [(start, length) for start, length, _ in found] == [(0, 1500), (1500, 3598500), (3661250, 750)]
    texts = [text.decode() for _, _, text in found]
    assert texts[1] == "two 60%\nof them 50%"
    assert "<" not in texts[0]
    assert "{" not in texts[0] or suffix == ".vtt"  # WebVTT has no such markup
    plain = texts[0].translate(str.maketrans("\u2039\u203a", "<>")).replace("&lt;", "<").replace("&gt;", ">")
    assert plain.replace("&amp;", "&").startswith("putting <b>something</b> & more")


def test_without_cues_the_file_is_empty():
    assert srt([]) == ""
    assert webvtt([]) == "WEBVTT\n"


def test_simultaneous_classes_share_a_cue_and_gaps_have_none():
    segments = [
        {"start": 0.0, "end": 4.0, "label": "run", "probability": 0.6},
        {"start": 2.0, "end": 6.0, "label": "jump\nhigh\x1b", "probability": 0.9},
        {"start": 8.0, "end": 9.0, "label": "run", "probability": 1.0},
    ]
    run, jump = ("run", "60%"), ("jump high\\x1b", "90%")
    assert cues({"segments": segments}) == [
        Cue(0.0, 2.0, (run,)), Cue(2.0, 4.0, (jump, run)), Cue(4.0, 6.0, (jump,)), Cue(8.0, 9.0, (("run", "100%"),)),
    ]  # fmt: skip


def test_cues_show_the_answers_of_each_moment():
    rng = np.random.default_rng(0)
    starts = rng.integers(0, 50, 40)
    segments = [
        {"start": float(start), "end": float(start + length), "label": str(number), "probability": number / 40}
        for number, (start, length) in enumerate(zip(starts, rng.integers(1, 9, 40), strict=True))
    ]
    found = cues({"segments": segments})
    for moment in np.arange(0.5, 60):
        wanted = [segment["label"] for segment in segments if segment["start"] < moment < segment["end"]]
        shown = [cue.lines for cue in found if cue.start < moment < cue.end]
        assert [name for name, _ in shown[0]] == wanted[::-1] if wanted else not shown
        assert len(shown) <= 1


def test_a_regression_shows_its_numbers():
    segment = {
        "start": 0.0,
        "end": 1.0,
        "values": [{"name": "valence", "value": 0.3}, {"name": "arousal", "value": -1}],
    }
    assert cues({"segments": [segment]}) == [Cue(0.0, 1.0, (("valence", "+0.30"), ("arousal", "-1.00")))]
