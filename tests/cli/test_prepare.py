"""`vidjax prepare`: from a folder of videos to records, without TensorFlow or JAX; on Beam where it is installed."""

import importlib.util
import json
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from vidjax.cli import main
from vidjax.config import DataConfig
from vidjax.data import motion_videos
from vidjax.data.open import open_source
from vidjax.data.sources.annotations import NOTHING
from vidjax.data.video.decode import probe_video
from vidjax.errors import DataError

needs_beam = pytest.mark.skipif(not importlib.util.find_spec("apache_beam"), reason="needs the extra beam")


@pytest.fixture
def folder(tmp_path):
    """Two classes, five training videos and one to validate on, of 20 frames of 48 x 48."""
    spec = motion_videos.MotionSpec(train_videos=5, test_videos=0, val_videos=1)
    made = pathlib.Path(motion_videos.prepare(str(tmp_path / "motion"), spec))
    lines = motion_videos.annotations(str(made))
    root = tmp_path / "videos"
    counts = {"train": 0, "val": 0}
    for split, wanted in (("train", 5), ("val", 1)):
        for line in [line for line in lines if line["video"].split("/")[0] == split][:wanted]:
            target = root / split / "ab"[counts[split] % 2] / f"{split}{counts[split]}.mp4"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((made / line["video"]).read_bytes())
            counts[split] += 1
    assert counts == {"train": 5, "val": 1}
    return root


def prepare(folder, out, *words):
    return main(["prepare", "folder", "--root", str(folder), "--out", str(out), "--threads", "2", *words])


def test_a_folder_becomes_records_with_a_key_frame_every_twelve(folder, tmp_path, capsys):
    assert prepare(folder, tmp_path / "out", "--runner", "threads") == 0
    shown = capsys.readouterr()
    assert "stored 6 of 6 videos" in shown.err
    root = shown.out.strip().removeprefix("data.root=")
    source = open_source(DataConfig(root=root), "train")
    assert (len(source), source.labels) == (5, ("a", "b"))
    assert probe_video(source[0].video).frames == 20
    assert b"keyint=12" in source[0].video  # x264 notes its settings


def test_videos_without_classes_become_records_without_classes(folder, tmp_path, capsys):
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in folder.rglob("*.mp4"):
        path.rename(flat / path.name)
    assert prepare(flat, tmp_path / "out", "--runner", "threads", "--keep-bytes") == 0
    root = capsys.readouterr().out.strip().removeprefix("data.root=")
    files, records = (open_source(DataConfig(root=str(of)), "train", NOTHING) for of in (flat, root))
    assert {files[row].id for row in range(len(files))} == {records[row].id for row in range(len(records))}
    assert (records.annotation, records.labels, records.row_labels().tolist()) == (NOTHING, None, [0] * len(records))
    with pytest.raises(DataError, match="carry no label; train on the videos that they were made from"):
        open_source(DataConfig(root=root), "train")
    assert main(["check", root]) == 0


def test_official_annotations_are_read_and_files_kept_as_they_are(folder, tmp_path, capsys):
    (folder / "classInd.txt").write_text("1 a\n2 b\n")
    (folder / "trainlist01.txt").write_text("a/train0.mp4 1\nb/train1.mp4 2\n")
    (folder / "testlist01.txt").write_text("a/val0.mp4\n")
    words = ["--root", str(folder), "--out", str(tmp_path / "out"), "--runner", "threads", "--keep-bytes", "--json"]
    assert main(["prepare", "ucf101", *words]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["listed"], answer["stored"], answer["failures"]) == (3, 3, [])
    source = open_source(DataConfig(name="ucf101", root=answer["root"]), "val")
    assert source[0].video == (folder / "val" / "a" / "val0.mp4").read_bytes()


def test_unreadable_videos_are_reported_counted_and_exit_with_3(folder, tmp_path, capsys):
    (folder / "train" / "a" / "broken.mp4").write_bytes(b"")
    assert prepare(folder, tmp_path / "out", "--runner", "threads") == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "broken.mp4 is not stored: empty: " in said
    assert "stored 6 of 7 videos" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--short-side", "7"], "short side 7 must be even and at least 32"),
        (["--threads", "0"], "--threads=0 must be at least 1"),
        (["--videos-per-shard", "-1"], "--videos-per-shard=-1 must be at least 1"),
        (["--runner", "threads", "--beam-option", "project=x"], "--project=x is a Beam option"),
    ],
)
def test_mistakes_are_one_sentence(words, sentence, folder, tmp_path, capsys):
    assert prepare(folder, tmp_path / "out", *words) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"vidjax: {sentence}")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").glob("[!.]*"))


def test_a_root_that_is_not_there_is_one_sentence(tmp_path, capsys):
    assert prepare(tmp_path / "gone", tmp_path / "out", "--runner", "threads") == 2
    assert "gone is not a folder" in capsys.readouterr().err


def test_without_beam_its_runners_are_refused_and_threads_are_announced(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert prepare(folder, tmp_path / "out", "--runner", "DataflowRunner") == 2
    assert "needs Apache Beam: run pip install 'vidjax[beam]'" in capsys.readouterr().err
    assert prepare(folder, tmp_path / "out") == 0
    assert "Apache Beam is not installed" in capsys.readouterr().err


def test_neither_tensorflow_nor_jax_is_imported(folder, tmp_path):
    words = ["prepare", "folder", f"--root={folder}", f"--out={tmp_path / 'out'}", "--runner=threads"]
    code = (
        "import sys\nfrom vidjax.cli import main\n"
        f"assert main({words!r}) == 0\n"
        "assert 'tensorflow' not in sys.modules and 'jax' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_ended_in_the_middle_it_leaves_nothing_that_looks_whole_and_a_second_start_completes_it(
    folder, tmp_path, number, code
):
    out = tmp_path / "out"
    words = ["prepare", "folder", f"--root={folder}", f"--out={out}", "--runner=threads", "--threads=1"]
    words += ["--videos-per-shard=1"]
    slowly = (
        "import sys, time\nfrom vidjax.data.prepare import codec\n"
        "store = codec.Storing.store\n"
        "codec.Storing.store = lambda self, row: (time.sleep(.3), store(self, row))[1]\n"
        f"from vidjax.cli import main\nsys.exit(main({words!r}))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", slowly], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(out.glob(".preparing-*/*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None  # it was still writing
    since, kept = time.monotonic(), {path.name for path in out.glob(".preparing-*/*.json")}
    process.send_signal(number)
    assert process.wait() == code
    assert time.monotonic() - since < 5
    assert kept <= {path.name for path in out.glob(".preparing-*/*.json")}
    with pytest.raises(DataError):
        open_source(DataConfig(root=str(out)), "train")
    assert main(words) == 0
    assert len(open_source(DataConfig(root=str(out)), "train")) == 5


@needs_beam
def test_beam_writes_the_very_files_that_threads_write(folder, tmp_path):
    (folder / "train" / "a" / "broken.mp4").write_bytes(b"")
    roots = {}
    for runner in ("threads", "local", "DirectRunner"):
        assert prepare(folder, tmp_path / runner, "--runner", runner, "--videos-per-shard", "2") == 3
        (roots[runner],) = (tmp_path / runner).glob("*/1.0.0")
    threads, *beams = ({path.name: path.read_bytes() for path in root.iterdir()} for root in roots.values())
    for beam in beams:
        assert {name: beam[name] for name in beam} == threads


@needs_beam
def test_a_runner_that_beam_does_not_know_is_one_sentence(folder, tmp_path, capsys):
    assert prepare(folder, tmp_path / "out", "--runner", "NoSuchRunner") == 2
    assert "Beam cannot run on NoSuchRunner" in capsys.readouterr().err
