"""`vidjax predict --every` finds the segments of videos of known colours, and writes them in every format."""

import csv
import io
import json
import re
import shutil

import av
import numpy as np
import pytest
from colours import RECIPE, colour_model, write_colours
from videos import encode, moving_texture

from vidjax.cli import load_model, main
from vidjax.data import read_frames

STRETCHES = [("red", 3), ("green", 2.5), ("blue", 2)]
EDGES = [0, 3, 5.5, 7.5]
HALF = 0.4  # seconds: of a window of 4 frames, every 2nd, at 10 frames a second


@pytest.fixture
def use(monkeypatch):
    """Make predict use this model, whatever --model names."""

    def use(**options):
        monkeypatch.setattr(load_model, "load", lambda source: colour_model(**options))

    use()
    return use


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_colours(tmp_path_factory.mktemp("videos") / "three.mp4", STRETCHES)


def answers(capsys, *words, code=0):
    assert main(["predict", *words, "--model", "colours", "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_each_stretch_of_one_colour_is_one_segment(use, video, capsys):
    [found] = answers(capsys, video, "--every", "0.2")
    assert [segment["label"] for segment in found["segments"]] == ["red", "green", "blue"]
    edges = [segment["start"] for segment in found["segments"]] + [found["segments"][-1]["end"]]
    np.testing.assert_allclose(edges, EDGES, atol=HALF / 2)
    assert all(segment["probability"] > 0.9 for segment in found["segments"])
    assert [set(window) for window in found["windows"][:1]] == [{"start", "end", "top"}]
    assert set(found) == {"video", "top", "windows", "segments"}


def test_windows_of_a_length_that_is_asked_for_follow_each_other(use, video, capsys):
    [found] = answers(capsys, video, "--window", "1.5")
    assert [(window["start"], window["end"]) for window in found["windows"]] == [
        (0, 1.5), (1.5, 3), (3, 4.5), (4.5, 6), (6, 7.5),
    ]  # fmt: skip
    assert [segment["label"] for segment in found["segments"]] == ["red", "green", "blue"]
    assert main(["predict", video, "--model", "colours", "--window", "1.5", "--every", "0.5"]) == 0
    assert "one window every 0.5 s, each of 4 frames spread over 1.5 s" in capsys.readouterr().err


def test_a_model_that_spreads_its_frames_has_windows_too(use, video, capsys):
    """Otherwise its one window would be the whole video, whatever --every is."""
    use(recipe=RECIPE.__class__(num_frames=4, sampling="segment", image_size=16))
    [found] = answers(capsys, video, "--every", "0.5")
    assert [segment["label"] for segment in found["segments"]] == ["red", "green", "blue"]
    np.testing.assert_allclose([segment["start"] for segment in found["segments"]], EDGES[:-1], atol=0.25)


def test_labels_that_are_seen_together_overlap(use, video, capsys):
    use(activation="sigmoid")
    [found] = answers(capsys, video, "--every", "0.2", "--threshold", "0.3")
    spans = {segment["label"]: (segment["start"], segment["end"]) for segment in found["segments"]}
    assert spans["red"][1] > spans["green"][0]
    assert spans["green"][1] > spans["blue"][0]
    np.testing.assert_allclose([np.mean([spans["red"][1], spans["green"][0]])], 3, atol=HALF)


def test_a_regression_has_a_timeline_of_numbers(use, video, tmp_path, capsys):
    use(kind="values", activation="tanh", labels=("redness", "blueness"))
    table = tmp_path / "t.csv"
    [found] = answers(capsys, video, "--every", "0.5", "--csv", str(table))
    expected = np.tanh(0)  # of no colour
    by_name = {line["name"]: line["value"] for line in found["segments"][0]["values"]}
    assert by_name["redness"] > by_name["blueness"] > expected
    merged = np.mean([[line["value"] for line in window["values"]] for window in found["windows"]], axis=0)
    np.testing.assert_allclose([line["value"] for line in found["values"]], merged, atol=1e-6)
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == len(found["segments"])
    assert float(rows[0]["redness"]) == pytest.approx(by_name["redness"])
    assert rows[0]["start"] == "0.0"
    assert main(["predict", video, "--model", "c", "--every", "2"]) == 0
    assert re.search(r"0\.0 - [\d.]+ s  \+0\.\d+ redness  \+0\.\d+ blueness", capsys.readouterr().out)
    assert main(["predict", video, "--model", "c", "--every", "2", "--threshold", "0.5"]) == 2
    assert "threshold is for the probabilities of classes" in capsys.readouterr().err


def test_actions_have_a_timeline(use, video, capsys):
    use(kind="actions")
    [found] = answers(capsys, video, "--every", "0.2")
    pairs = [(segment["verb"], segment["noun"]) for segment in found["segments"]]
    assert pairs[0] == ("stop", "red")
    assert {noun for verb, noun in pairs if verb == "go"} == {"green", "blue"}
    assert found["segments"][0]["label"] == "stop red"


def test_seconds_are_those_of_the_player_where_frames_come_unevenly(use, tmp_path, capsys):
    """Ten frames a second for two seconds, then one every half: the colour changes at 4 s, not at 27 / 4.5."""
    times = [*range(0, 2000, 100), *range(2000, 9000, 500)]
    stretches = [("red", 2.4), ("blue", 1.0)]  # 24 frames, then 10
    uneven = write_colours(tmp_path / "uneven.mp4", stretches, times=times)
    [found] = answers(capsys, uneven, "--every", "0.2", "--stride", "1")
    first, second = found["segments"]
    assert (first["label"], second["label"]) == ("red", "blue")
    assert first["end"] == pytest.approx(times[24] / 1000, abs=0.75)


def test_one_video_has_a_file_of_each_kind_and_the_terminal_names_them(use, video, tmp_path, capsys):
    names = {"srt": "a.srt", "vtt": "b.vtt", "csv": "c.csv", "html": "d.html", "out": "e.mp4"}
    options = [f"--{option}={tmp_path / name}" for option, name in names.items()]
    assert main(["predict", video, "--model", "colours", "--every", "0.2", *options]) == 0
    shown = capsys.readouterr()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names.values())
    assert all(f"written: {tmp_path / name}" in shown.err for name in names.values())
    assert re.search(r"0\.0 - 3\.\d s   9\d% red\n3\.\d - 5\.\d s +\d+% green\n", shown.out)
    for name in ("a.srt", "b.vtt"):
        with av.open(str(tmp_path / name)) as container:
            packets = [packet for packet in container.demux(container.streams[0]) if packet.size]
        assert [bytes(packet).split()[0] for packet in packets] == [b"red", b"green", b"blue"]
        np.testing.assert_allclose([float(p.pts * p.time_base) for p in packets], EDGES[:-1], atol=HALF / 2)
    rows = list(csv.DictReader((tmp_path / "c.csv").open()))
    assert [row["label"] for row in rows] == ["red", "green", "blue"]
    assert {row["video"] for row in rows} == {video}
    picture = read_frames(tmp_path / "e.mp4", [0, 70])
    assert picture.shape == (2, *read_frames(video, [0]).shape[1:])
    assert picture[0, :20, :30, 0].min() < 120  # red, darkened where the label is


def test_a_page_needs_nothing_beside_it_and_escapes_names(use, tmp_path, capsys):
    use(labels=("<script>alert(1)</script>", "a & b", 'quote" onload="x'))
    video = write_colours(tmp_path / "<b>x.mp4", STRETCHES)
    page = tmp_path / "page.html"
    assert main(["predict", video, "--model", "colours", "--every", "0.5", "--html", str(page)]) == 0
    text = page.read_text()
    assert "<script" not in text
    assert "<b>x.mp4" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert 'quote" onload' not in text
    sources = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert all(source.startswith(("data:image/jpeg;base64,", "#v0-")) for source in sources)
    assert sum(source.startswith("data:") for source in sources) == 3
    assert "http" not in text


def test_several_videos_have_a_folder_of_files_and_a_broken_one_a_line(use, video, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    shutil.copy(video, tmp_path / "in" / "one.mp4")
    shutil.copy(video, tmp_path / "in" / "two.mp4")
    (tmp_path / "in" / "words.mp4").write_text("no video")
    options = ["--srt", str(tmp_path / "out"), "--csv", str(tmp_path / "t.csv"), "--html", str(tmp_path / "t.html")]
    found = answers(capsys, str(tmp_path / "in"), *options, code=3)
    assert len(found) == 3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one.srt", "two.srt"]
    rows = list(csv.DictReader((tmp_path / "t.csv").open()))
    assert [row["video"].rsplit("/", 1)[1] for row in rows] == ["one.mp4"] * 3 + ["two.mp4"] * 3 + ["words.mp4"]
    assert rows[-1]["error"].startswith("not_video")
    assert "not_video" in (tmp_path / "t.html").read_text()


def test_a_file_is_asked_for_and_no_stride_is_a_window_every_second(use, video, tmp_path, capsys):
    [found] = answers(capsys, video, "--srt", str(tmp_path / "a.srt"))
    assert [window["start"] for window in found["windows"][:3]] == [0, 1, 2]


def test_a_video_is_never_overwritten_by_its_copy(use, video, tmp_path, capsys):
    copy = tmp_path / "three.mp4"
    shutil.copy(video, copy)
    (tmp_path / "link.mp4").symlink_to(copy)
    before = copy.read_bytes()
    for out in (copy, tmp_path, tmp_path / "link.mp4"):
        assert main(["predict", str(copy), "--model", "colours", "--out", str(out)]) == 2
        assert f"would overwrite the input {copy}" in capsys.readouterr().err
    assert copy.read_bytes() == before


def test_a_list_of_videos_is_not_overwritten_by_a_table(use, video, tmp_path, capsys):
    listed = tmp_path / "videos.csv"
    listed.write_text(f"path\n{video}\n")
    assert main(["predict", str(listed), "--model", "colours", "--every", "1", "--csv", str(listed)]) == 2
    assert f"{listed} would overwrite the input {listed}" in capsys.readouterr().err
    assert listed.read_text() == f"path\n{video}\n"


def test_a_name_that_steers_terminals_or_is_no_utf8_is_escaped_except_in_json(use, video, tmp_path, capsys):
    odd = tmp_path / "caf\udce9\x1b[2J.mp4"
    shutil.copy(video, odd)
    table = tmp_path / "t.csv"
    words = ["--every", "1", "--csv", str(table), "--srt", str(tmp_path / "out"), "--html", str(tmp_path / "t.html")]
    [found] = answers(capsys, str(odd), *words)
    assert found["video"] == str(odd)
    assert {row["video"] for row in csv.DictReader(table.open())} == {rf"{tmp_path}/caf\udce9\x1b[2J.mp4"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["caf\udce9\x1b[2J.srt"]


def test_only_windows_with_room_between_them_leave_something_out(use, video, capsys):
    """A quarter of a second is 2.5 frames, so a window and the way to the next one are both 2 frames long."""
    words, remark = ["predict", video, "--model", "colours"], "does not see the video between windows"
    for options, said in (
        (["--window", "0.25"], False), (["--every", "2"], True), (["--every", "2", "--window", "2.04"], False)
    ):  # fmt: skip
        assert main([*words, *options]) == 0
        assert (remark in capsys.readouterr().err) == said


def test_a_video_damaged_where_no_window_looks_is_answered_but_not_copied(use, tmp_path, capsys):
    """Windows see the first 8 frames and the last 8 of 60; what is damaged are those from 20 to 29."""
    damaged, content = tmp_path / "damaged.mp4", encode(moving_texture(60), rate=10, options={"g": "10", "bf": "0"})
    with av.open(io.BytesIO(content)) as container:
        group = [packet for packet in container.demux(video=0) if packet.size][20:30]
    begin, end = group[0].pos, group[-1].pos + group[-1].size
    damaged.write_bytes(content[:begin] + bytes(end - begin) + content[end:])
    out, subtitles = tmp_path / "out.mp4", tmp_path / "out.srt"
    words = [str(damaged), "--model", "colours", "--every", "100", f"--out={out}", f"--srt={subtitles}"]
    assert main(["predict", *words]) == 3
    assert not out.exists()
    assert f"no annotated copy of {damaged}: corrupt" in capsys.readouterr().err
    assert subtitles.exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--every", "0"], "--every=0 must be above 0 seconds"),
        (["--window", "-1"], "--window=-1 must be above 0 seconds"),
        (["--window", "nan"], "--window=nan must be above 0 seconds"),
        (["--window", "2", "--stride", "3"], "give one of the two"),
        (["--every", "2", "--clips", "3"], "every=2 for sliding windows; give one of the two"),
        (["--every", "1", "--threshold", "2"], "threshold=2 must be a probability, from 0 to 1"),
        (["--threshold", "0.5"], "threshold=0.5 is for a timeline; ask for one with `every` or `window`"),
        (["--out", "x.mkv"], "--out=x.mkv must end in .mp4, or be a folder"),
        (["--srt", "x.vtt"], "--srt=x.vtt must end in .srt, or be a folder"),
        (["--csv", "table"], "--csv=table must name a file that ends in .csv"),
        (["--out", "gs://bucket/x.mp4"], "annotated videos can only be written to a local folder"),
        (["--html", f"{__file__}/x.html"], "test_timeline.py cannot be a folder"),
        (["--csv", "/proc/none/t.csv"], "nothing can be written in /proc"),
    ],
)
def test_invalid_options_give_one_message(use, video, capsys, options, sentence):
    assert main(["predict", video, "--model", "colours", *options]) == 2
    shown = capsys.readouterr().err
    assert sentence in shown.splitlines()[-1]


def test_two_videos_cannot_share_one_file(use, video, tmp_path, capsys):
    other = write_colours(tmp_path / "other.mp4", [("red", 1)])
    assert main(["predict", video, other, "--model", "colours", "--srt", str(tmp_path / "x.srt")]) == 2
    assert "is one file, but there are 2 videos; name a folder" in capsys.readouterr().err
