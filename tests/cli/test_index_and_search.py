"""`vidjax index` and `vidjax search`: what they print and write, and a sentence for each mistake."""

import json
import re
import shlex
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from random_runs import write_run
from small_disk import small_disk
from videos import encode, moving_texture

from vidjax.cli import main
from vidjax.data import motion_videos
from vidjax.main import read_config
from vidjax.search.page import clock
from vidjax.search.search_index import SearchIndex, open_header

NAME = "2 <b>&amp;.mp4"  # shown as it is


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A motion classifier with random weights; a clip spans 1.6 s of these videos."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    write_run(folder, read_config(["--config=motion_finetune"]), 8, motion_videos.CLASSES)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four videos of 4 s, the last one cut off."""
    root = tmp_path_factory.mktemp("videos")
    for number, name in enumerate(("0.mp4", "1.mp4", NAME, "3.mp4")):
        content = encode(moving_texture(40, 48, 64, seed=number), rate=10)
        (root / name).write_bytes(content[: len(content) // 2] if number == 3 else content)
    return root


@pytest.fixture(scope="module")
def indexed(run, folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("indexes") / "index"
    assert main(["index", str(folder), "--model", str(run), "--every", "0.8", "--out", str(out)]) == 3
    return out


def words(run, folder, out):
    return ["index", str(folder), "--model", str(run), "--every", "0.8", "--out", str(out)]


def test_what_index_says(run, folder, indexed, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(words(run, folder, indexed)) == 3
    shown = capsys.readouterr()
    assert re.search("^3.mp4 is not in the index: (truncated|corrupt)$", shown.err, re.MULTILINE)
    assert "nothing has changed since the last call" in shown.err
    assert shown.out == f"{indexed}: 12 windows of 3 videos; pooled (96) of {run}\n"
    assert main([*words(run, folder, indexed), "--json"]) == 3
    answer = json.loads(capsys.readouterr().out)
    assert [answer[key] for key in ("videos", "windows", "added", "moved", "dropped", "complete")] == [
        3,
        12,
        0,
        0,
        0,
        True,
    ]
    assert answer["failures"][0]["video"] == str(folder / "3.mp4")


def test_a_video_finds_others_and_a_page_plays_them(indexed, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    query = str(folder / "0.mp4")
    assert main(["search", str(indexed), "--video", query, "--top", "3", "--html", "found.html"]) == 0
    shown = capsys.readouterr()
    assert f"note: {query} is in the index, and is left out" in shown.err
    assert "the best of 12 windows of 3 videos; the score is a cosine, from -1 to 1" in shown.err
    assert shown.out.count("0:0") >= 6
    page = (tmp_path / "found.html").read_text()
    played = page.count("data:video/mp4;base64,")
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
    assert "2 &lt;b&gt;&amp;amp;.mp4" in page
    assert main(["search", str(indexed), "--video", query, "--top", "3", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["windows"], answer["videos"], answer["query"]) == (12, 3, {"video": query})
    assert {moment["video"] for moment in answer["moments"]} <= {str(folder / "1.mp4"), str(folder / NAME)}
    assert played == len(answer["moments"]) + 1 >= 3  # the query too
    scores = [moment["score"] for moment in answer["moments"]]
    assert scores == sorted(scores, reverse=True)
    assert set(answer["moments"][0]) == {"video", "start", "end", "score", "query"}


def test_a_picture_finds_the_video_that_shows_it(indexed, folder, tmp_path, capsys):
    """The windows of a still video are those of its picture, turned as the file says."""
    still = tmp_path / "still"
    still.mkdir()
    frame = moving_texture(1, 48, 48, seed=9)[0]
    (still / "still.mkv").write_bytes(encode(np.stack([frame] * 20), "matroska", "ffv1", pix_fmt="bgr0", rate=10))
    cv2.imwrite(str(tmp_path / "picture.png"), frame[..., ::-1])
    shutil.copytree(indexed, tmp_path / "index")
    model = json.loads((indexed / "index.json").read_text())["backbone"]["source"]
    assert (
        main(["index", str(folder), str(still), "--model", model, "--every", "0.8", "--out", str(tmp_path / "index")])
        == 3
    )
    capsys.readouterr()
    assert main(["search", str(tmp_path / "index"), "--image", str(tmp_path / "picture.png"), "--json"]) == 0
    [best, *_] = json.loads(capsys.readouterr().out)["moments"]
    assert best["video"] == str(still / "still.mkv")
    assert best["score"] > 0.999  # the same pixels; kept as float16
    assert "query" not in best


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], r"nothing to search for is given; give one of a text, --video=FILE and --image=FILE"),
        (["a dog", "--video", "x.mp4"], r"text and video are given; give one of a text"),
        (["a dog"], r"holds pooled features of .*, which cannot be compared with texts; search by --video or --image"),
        (["--video", "{folder}/O.mp4"], r"--video=.*/O\.mp4 is not a file; did you mean .*\.mp4"),
        (["--video", "{folder}/3.mp4"], r"(truncated|corrupt): .*3\.mp4"),
        (["--image", "{folder}/0.mp4"], r"0\.mp4 is not a picture that can be read .*; give a JPEG, PNG or WebP file"),
        (["--video", "{folder}/0.mp4", "--top", "0"], r"--top=0 must be at least 1"),
        (["--video", "{folder}/0.mp4", "--html", "x.txt"], r"--html=x\.txt must name a file that ends in \.html"),
        (["--video", "{folder}/0.mp4", "--approximate"], r"has no clusters of its current windows"),
        (["--video", "{folder}/0.mp4", "--model", "random:videomae_tiny"], r"is an index of .* but .* has the weights"),
        (["--video", "{folder}/0.mp4", "--model", "gone/run"], r"gone/run"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_search_is_one_sentence(options, sentence, indexed, folder, capsys):
    assert main(["search", str(indexed), *(option.format(folder=folder) for option in options)]) == 2
    shown = capsys.readouterr()
    assert not shown.out
    assert re.search(f"^vidjax: .*{sentence}", shown.err.splitlines()[-1])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"--every": ""}, r"give --every=SECONDS, from the start of one window to the next"),
        ({"--batch": "-1"}, r"--batch=-1 must be at least 0"),
        ({"--every": "-1"}, r"--every=-1 must be above 0 seconds"),
        ({"DIR": "{empty}"}, r"holds no videos, nor do the folders below it"),
        ({"--share": "2/2"}, r"--share=2/2 must be K/P with K from 0 to P - 1"),
        ({"--every": "0.4"}, r"is an index of other features: windows\.every was 0\.8, is now 0\.4"),
    ],
)  # fmt: skip
def test_a_mistake_in_indexing_is_one_sentence(change, sentence, indexed, tmp_path, capsys):
    made = json.loads((indexed / "index.json").read_text())
    asked = {"DIR": made["words"][0], "--model": made["backbone"]["source"], "--every": "0.8", "--out": str(indexed)}
    asked = {key: value.format(empty=tmp_path) for key, value in (asked | change).items() if value}
    options = [word for key, value in asked.items() if key != "DIR" for word in (key, value)]
    assert main(["index", asked["DIR"], *options]) == 2
    shown = capsys.readouterr()
    assert not shown.out
    assert re.search(f"^vidjax: .*{sentence}", shown.err.splitlines()[-1])
    assert len(SearchIndex.open(indexed)) == 12


@pytest.fixture(scope="module")
def spread(tmp_path_factory):
    """As `run`, but a clip's frames are spread over a video, and the run's stride has no effect."""
    folder = tmp_path_factory.mktemp("spread") / "run"
    config = read_config(["--config=motion_finetune", "--config.data.sampling=segment", "--config.data.stride=2"])
    write_run(folder, config, 8, motion_videos.CLASSES)
    return folder


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("run", []),
        ("run", ["--stride", "2", "--dtype", "float32"]),
        ("run", ["--window", "1.2"]),
        ("spread", []),
        ("spread", ["--window", "1.2"]),
        ("spread", ["--every", "0.83333333"]),
    ],
)
def test_the_command_that_messages_name_adds_to_the_same_index(model, options, folder, tmp_path, capsys, request):
    assert main([*words(request.getfixturevalue(model), folder, tmp_path / "index"), *options]) == 3
    command = shlex.split(open_header(tmp_path / "index").command(tmp_path / "index"))
    assert command[0] == "vidjax"
    capsys.readouterr()
    assert main(command[1:]) == 3  # another index would be refused with 2
    assert "nothing has changed since the last call" in capsys.readouterr().err


def test_times_are_those_of_a_player():
    assert clock({"start": 0.04, "end": 9.96}) == "0:00.0 - 0:10.0"
    assert clock({"start": 61.25, "end": 3599.99}) == "1:01.2 - 1:00:00.0"


@pytest.mark.slow
def test_a_full_disk_is_a_sentence_and_with_room_the_same_command_ends_with_the_same_files(run, folder, tmp_path):
    whole = tmp_path / "whole"
    assert main(words(run, folder, whole)) == 3
    wanted = {path.name: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    with small_disk(tmp_path / "disk", "12k") as disk:
        command = [sys.executable, "-m", "vidjax.cli", *words(run, folder, disk.folder / "index")]
        code, _, said = disk.run(command)
        assert code == 2
        assert "Traceback" not in said
        assert re.search("^vidjax: .*No space left on device; make room on that disk", said.splitlines()[-1])
        disk.remount("size=1m")
        assert disk.run(command)[0] == 3
        found = {path.name: path.read_bytes() for path in disk.seen.rglob("*") if path.is_file()}
    assert found == wanted


@pytest.mark.slow
def test_a_killed_call_is_resumed(run, folder, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert main(words(run, folder, whole)) == 3
    command = [sys.executable, "-c", KILLED, *words(run, folder, killed)]
    assert subprocess.run(command).returncode == -9
    assert main(words(run, folder, killed)) == 3
    files = [{path.name: path.read_bytes() for path in place.rglob("*") if path.is_file()} for place in (whole, killed)]
    assert files[0] == files[1]


KILLED = """
import os, signal, sys
from vidjax.cli import main
from vidjax.search import update

whole, count = update.write_part, []
def write(*args):
    if len(count) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    count.append(whole(*args))
update.write_part = write
main(sys.argv[1:])
"""
