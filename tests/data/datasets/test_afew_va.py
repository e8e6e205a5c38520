"""A miniature of AFEW-VA in its official layout: windows of frames, folds of subjects, and training on both."""

import json
import pathlib

import cv2
import numpy as np
import pytest
from miniatures import SMALL, first, run, write_afew

from vidjax.config import DataConfig
from vidjax.data import open_source
from vidjax.data.datasets import afew_va
from vidjax.data.sources.in_memory import InMemorySource
from vidjax.data.sources.rows import Row
from vidjax.data.video.readers import FrameWindow, open_video
from vidjax.errors import DataError, VideoError


@pytest.fixture
def afew(videos, tmp_path):
    return write_afew(videos, tmp_path)


def test_afew_va_gives_a_window_around_every_frame(afew):
    data = DataConfig(name="afew_va", root=str(afew), **SMALL)
    train, val = (open_source(data, split, "target") for split in ("train", "val"))
    assert len(train) + len(val) == sum(range(6, 14))
    assert train.labels == ("valence", "arousal")
    row = next(train[i] for i in range(len(train)) if train[i].id == "004/00003.png")
    assert row.target == pytest.approx((-0.2, -0.1))
    # Frames 1 to 4 around frame 3, the third of four; at the edges, the first and last frames repeat.
    assert [pathlib.Path(row.video.path(i)).stem for i in range(4)] == ["00001", "00002", "00003", "00004"]
    edge = next(train[i] for i in range(len(train)) if train[i].id == "004/00000.png")
    assert [pathlib.Path(edge.video.path(i)).stem for i in range(4)] == ["00000", "00000", "00000", "00001"]
    last = next(train[i] for i in range(len(train)) if train[i].id == "004/00008.png")
    assert [pathlib.Path(last.video.path(i)).stem for i in range(4)] == ["00006", "00007", "00008", "00008"]


def test_afew_va_frames_are_those_of_the_files(afew):
    data = DataConfig(name="afew_va", root=str(afew), **SMALL)
    source = open_source(data, "train", "target")
    batch = first(source)
    for index, video, target in zip(batch["index"], batch["video"], batch["target"], strict=True):
        row = source[int(index)]
        np.testing.assert_allclose(target, row.target, rtol=1e-6)
        for place, frame in enumerate(video):
            np.testing.assert_array_equal(frame, cv2.imread(row.video.path(place))[..., ::-1])


def test_afew_va_quadrants_are_classes(afew):
    source = open_source(DataConfig(name="afew_va", root=str(afew), **SMALL), "train")
    for index in range(len(source)):
        clip, frame = source[index].id.split("/")
        right, up = int(frame[:5]) >= 5, int(clip) >= 5
        assert source.labels[source[index].label] == f"{'top' if up else 'bottom'}_{'right' if right else 'left'}"
    assert first(source)["label"].dtype == np.int32


def test_no_subject_is_in_training_and_test_and_every_fold_is_tested_once(afew):
    data, seen = DataConfig(name="afew_va", root=str(afew), **SMALL), []
    for fold in range(1, 5):  # four actors: the fifth fold is empty
        ids = [
            {source[i].id.split("/")[0] for i in range(len(source))}
            for source in (open_source(data, f"{split}{fold}", "target") for split in ("train", "val"))
        ]
        actors = [{(int(clip) - 1) // 2 for clip in clips} for clips in ids]
        assert not actors[0] & actors[1]
        assert ids[0] | ids[1] == {f"{n:03d}" for n in range(1, 9)}
        seen += ids[1]
    assert sorted(seen) == [f"{n:03d}" for n in range(1, 9)]


def test_rows_know_their_actor_or_else_their_clip(afew):
    path = afew / "01" / "007" / "007.json"
    path.write_text(json.dumps({"frames": json.loads(path.read_text())["frames"]}))
    data = DataConfig(name="afew_va", root=str(afew), **SMALL)
    for annotation in ("label", "target"):
        groups = {}
        for split in ("train", "val"):
            source = open_source(data, split, annotation)
            groups[split] = {source[index].id.split("/")[0]: source[index].group for index in range(len(source))}
        actors = {f"{n + 1:03d}": f"actor {n // 2}" for n in range(8)}
        assert groups["train"] | groups["val"] == actors | {"007": "somebody in clip 007"}
        assert not set(groups["train"].values()) & set(groups["val"].values())


def test_another_subject_makes_another_data_set():
    known, renamed, unknown = (InMemorySource("t", [Row(None, 0, "a", group=who)]) for who in ("Ann", "Bob", ""))
    assert len({known.content_id, renamed.content_id, unknown.content_id}) == 3


def test_a_subject_in_two_folds_is_refused(afew):
    (afew / "subjects.csv").write_text("clip,subject,fold\n001,Ann,1\n002,Ann,2\n")
    with pytest.raises(DataError, match=r"subject 'Ann' is in folds 1 and 2 \(clip 002\); give all clips of a subject"):
        open_source(DataConfig(name="afew_va", root=str(afew), **SMALL), "train", "target")


def test_clips_of_unknown_subjects_are_reported(afew, caplog):
    for path in afew.rglob("*.json"):
        path.write_text(json.dumps({"frames": json.loads(path.read_text())["frames"]}))
    open_source(DataConfig(name="afew_va", root=str(afew), **SMALL), "train", "target")
    assert "8 of 8 clips do not name their subject" in caplog.text


def test_faults_of_afew_va_are_named(afew):
    data = DataConfig(name="afew_va", root=str(afew), **SMALL)
    path = afew / "01" / "003" / "003.json"
    about = json.loads(path.read_text())
    about["frames"]["00002"]["valence"] = 11
    path.write_text(json.dumps(about))
    with pytest.raises(DataError, match=r"003.json: frame 00002 has valence and arousal \(11.0, -2.0\)"):
        open_source(data, "train", "target")
    about["frames"]["00099"] = about["frames"].pop("00002")
    path.write_text(json.dumps(about))
    with pytest.raises(DataError, match=r"annotates frame 00099, but .*003 has no 00099.png"):
        open_source(data, "train", "target")

    about["frames"] = {"00001": {"valence": 0.0, "arousal": float("nan")}}
    path.write_text(json.dumps(about))
    with pytest.raises(DataError, match=r"frame 00001 has valence and arousal \(0.0, nan\), outside of -10 to 10"):
        open_source(data, "train", "target")
    path.unlink()
    with pytest.raises(DataError, match=r"003 has 8 pictures, but no 003.json"):
        open_source(data, "train", "target")


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("001,Ann,1\n001,Bob,2\n", r"subjects.csv, line 2: clip 001 is listed twice; keep one line"),
        ("001,Ann,6\n", r"clip 001 is in fold 6; folds are 1 to 5"),
        ("001;Ann\n", r"subjects.csv, line 1: '001;Ann' is not `clip,subject\[,fold\]`"),
    ],
)
def test_faults_of_subjects_csv_are_named(afew, lines, sentence):
    (afew / "subjects.csv").write_text(lines)
    with pytest.raises(DataError, match=sentence):
        open_source(DataConfig(name="afew_va", root=str(afew), **SMALL), "train", "target")


def test_windows_longer_than_their_clip_and_unseen_quadrants_are_reported(afew, caplog):
    data = DataConfig(name="afew_va", root=str(afew), **(SMALL | {"num_frames": 8}))
    open_source(data, "train4")  # without clips 001 and 002; the other folds have 8 to 13 frames
    assert "shorter than a window" not in caplog.text
    open_source(data, "val4")
    assert "2 of 2 clips are shorter than a window of 8 frames, the first of them 001: their first and" in caplog.text
    assert "never seen" not in caplog.text  # only training splits warn
    (afew / "subjects.csv").write_text("".join(f"{n:03d},Ann,1\n" for n in range(1, 8)))
    open_source(data, "train")
    assert "AFEW-VA: 2 of 4 classes are never seen in training, the first of them 'bottom_left'" in caplog.text


def test_a_missing_picture_is_a_failed_video_not_a_crash(afew):
    window = FrameWindow(str(afew / "01" / "001"), ("00000.png", "nothing.png"), 0, 2, 25.0)
    with open_video(window) as video, pytest.raises(VideoError, match=r"missing: .*nothing.png cannot be found"):
        video.read([0, 1])


@pytest.mark.slow
def test_quadrants_of_seven_frames_are_trained_and_reported_by_class(afew, tmp_path):
    results = run("afew_va.py", "quadrant,smoke", afew, tmp_path / "run")
    held_out = [results[key] for key in ("eval/num_scored", "eval/num_expected")]
    assert held_out[0] == held_out[1] > 0
    assert {"eval/precision_macro", "eval/recall_micro", "eval/f1_macro", "eval/constant_top1"} <= set(results)
    assert any(key.startswith("eval/f1/top_") for key in results)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["data"]["num_frames"], config["data"]["tubelet_remainder"]) == (7, "drop")


@pytest.mark.slow
def test_valence_and_arousal_are_trained_and_scored_over_all_frames(afew, tmp_path):
    results = run("afew_va.py", "smoke", afew, tmp_path / "run", **{"data.num_frames": 8, "train.accumulate": 2})
    lines = [json.loads(line) for line in (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()]
    found, wanted = (np.array([line[key] for line in lines]) for key in ("prediction", "target"))
    assert len(lines) == results["eval/num_expected"]
    assert results["eval/rmse_valence"] == pytest.approx(np.sqrt(np.mean((found - wanted)[:, 0] ** 2)), rel=1e-4)


def test_a_frame_on_an_axis_belongs_to_the_right_or_the_top():
    assert afew_va.QUADRANTS[afew_va.quadrant(0.0, -0.1)] == "bottom_right"
    assert afew_va.QUADRANTS[afew_va.quadrant(-0.1, 0.0)] == "top_left"
