"""`vidjax check` of AFEW-VA and Charades, and the charts of a data set: every fault by name, every number in JSON."""

import csv
import json
import math

import numpy as np
import pytest
from miniatures import put, write_afew, write_charades
from PIL import Image

from vidjax.cli import main
from vidjax.data import motion_videos


@pytest.fixture
def faces(videos, tmp_path):
    return write_afew(videos, tmp_path / "faces")


@pytest.fixture
def home(videos, tmp_path):
    return write_charades(videos, tmp_path / "home")


def check(capsys, name, root, *words):
    code = main(["check", name, "--root", str(root), *words, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert code == (0 if found["complete"] else 1)
    return {about["split"]: about for about in found["splits"]}


def said(splits, kind="problems"):
    return [sentence for about in splits.values() for sentence in about[kind]]


def annotate(root, clip, change):
    path = root / "01" / clip / f"{clip}.json"
    about = json.loads(path.read_text())
    change(about)
    path.write_text(json.dumps(about))


def test_afew_va_is_reported_fold_by_fold_with_its_subjects_and_frames(faces, capsys):
    splits = check(capsys, "afew_va", faces, "--read", "decode")
    assert list(splits) == ["fold1", "fold2", "fold3", "fold4", "fold5"]
    subjects = {who: frames for about in splits.values() for who, frames in about["subjects"].items()}
    # Clips n = 1 to 8 have n + 5 frames, and actor k the clips 2 k + 1 and 2 k + 2.
    assert subjects == {"actor 0": 13, "actor 1": 17, "actor 2": 21, "actor 3": 25}
    assert [about["listed"] for about in splits.values()] == [2, 2, 2, 2, 0]
    assert sum(sum(about["class_counts"].values()) for about in splits.values()) == sum(range(6, 14))
    assert said(splits, "unreadable") == []
    assert "AFEW-VA: only 8 clips exist; 600 are published" in said(splits)
    assert "fold1 has 25 annotated frames, 12 to 13 per clip, median 12.5; subjects: 1" in splits["fold1"]["notes"]
    assert [any("2 of 4 classes have no frame" in text for text in about["problems"]) for about in splits.values()] == [
        *[True] * 4, False,
    ]  # fmt: skip
    assert sum("600 are published" in sentence for sentence in said(splits)) == 1  # not once per fold


def test_all_faults_of_afew_va_are_reported_at_once(faces, capsys):
    annotate(faces, "001", lambda about: about["frames"]["00002"].update(valence=11.0))
    annotate(faces, "002", lambda about: about["frames"]["00001"].update(arousal=math.nan))
    annotate(faces, "003", lambda about: about["frames"].update({"00098": about["frames"]["00001"]}))
    annotate(faces, "004", lambda about: about["frames"].pop("00003"))
    annotate(faces, "005", lambda about: about.pop("actor"))
    (faces / "01" / "006" / "006.json").unlink()
    (faces / "01" / "007" / "007.json").write_text("{")
    (faces / "01" / "008" / "00004.png").write_bytes(b"no picture")
    (faces / "subjects.csv").write_text("clip,subject,fold\n001,Ann,1\n002,Ann,2\n999,Bob\n")
    splits = check(capsys, "afew_va", faces, "--read", "decode")
    problems, notes = " / ".join(said(splits)), " / ".join(said(splits, "notes"))
    for sentence in (
        "001.json: frame 00002 has valence and arousal (11.0, -4.0), outside of -10 to 10",
        "002.json: frame 00001 has valence and arousal (-4.0, nan)",
        "003.json annotates frame 00098, but",
        "006 has 11 pictures, but no 006.json",
        "007.json is not an annotation of AFEW-VA: JSONDecodeError",
        "subject 'Ann' is in folds 1 and 2 (clip 002); give all clips of a subject the same fold",
        "1 video cannot be read: 1 corrupt",
    ):
        assert problems.count(sentence) == 1, sentence
    assert "1 pictures have no annotation and are left out, the first in 004" in notes
    assert "subjects.csv names 1 clips that do not exist, the first of them 999" in notes
    assert "3 of 8 clips do not name their subject, the first of them 005" in notes
    assert [failure["id"] for about in splits.values() for failure in about["unreadable"]] == ["008"]


def test_charades_counts_intervals_by_class_and_notes_what_its_protocol_allows(home, videos, capsys):
    splits = check(capsys, "charades", home)
    for split, name in (("train", "long_00001"), ("val", "long_00002")):
        shown = [part["class"] for part in videos[name][1]["intervals"]]
        expected = {f"Doing {action}": shown.count(action) for action in motion_videos.CLASSES}
        assert (splits[split]["unit"], splits[split]["class_counts"]) == ("intervals", expected)
    assert "Charades: of 4 intervals, 1 run past the end, the first in AB001" in said(splits, "notes")[0]
    assert "only 8 classes are named; Charades has 157" in said(splits)
    (home / "Charades_v1_480" / "AB002.mp4").unlink()
    splits = check(capsys, "charades", home)
    assert [len(about["missing"]) for about in splits.values()] == [0, 1]
    assert sum(splits["val"]["class_counts"].values()) == 0  # of missing videos


def test_records_are_checked_like_the_layout_they_were_made_from(home, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["prepare", "charades", f"--root={home}", f"--out={out}", "--runner=threads", "--keep-bytes"]) == 0
    capsys.readouterr()
    files, stored = check(capsys, "charades", home), check(capsys, "charades", out, "--read", "index")
    for split in files:
        assert stored[split]["layout"] == "records"
        for key in ("class_counts", "listed", "notes"):
            assert stored[split][key] == files[split][key], key


def test_charts_show_the_numbers_in_charts_json(faces, tmp_path, capsys):
    splits = check(capsys, "afew_va", faces, "--charts", str(tmp_path / "charts"))
    numbers = json.loads((tmp_path / "charts" / "charts.json").read_text())["splits"]
    for split, found in numbers.items():
        assert found["classes"] == splits[split]["class_counts"]
        assert found["subjects"] == splits[split]["subjects"]
        assert sum(found["frames"]["counts"]) == found["read"] == splits[split]["listed"]
        assert np.sum(found["targets"]) == sum(found["classes"].values())
        assert found["sizes"] == {"32x32": splits[split]["listed"]}
        assert found["failures"] == {}
    assert sorted(split for split in numbers) == ["fold1", "fold2", "fold3", "fold4"]  # nobody is in the fifth
    for name in ("classes", "durations", "sizes", "failures", "subjects", "targets"):
        with Image.open(tmp_path / "charts" / f"{name}.png") as picture:
            assert min(picture.size) > 200
            assert len(np.unique(np.asarray(picture.convert("L")))) > 10


def test_charts_name_failures_by_their_reason(videos, tmp_path, capsys):
    for number in range(4):
        put(videos[f"train_{number:05d}"][0], tmp_path / "set" / "train" / "ab"[number % 2] / f"{number}.mp4")
    put(videos["train_00000"][0], tmp_path / "set" / "val" / "a" / "0.mp4")
    (tmp_path / "set" / "train" / "a" / "broken.mp4").write_bytes(b"this is no video at all")
    (tmp_path / "set" / "train" / "b" / "nothing.mp4").write_bytes(b"")
    code = main(["check", "folder", f"--root={tmp_path / 'set'}", "--splits=train", f"--charts={tmp_path / 'charts'}"])
    assert code == 1
    assert "charts.json" in capsys.readouterr().err
    found = json.loads((tmp_path / "charts" / "charts.json").read_text())["splits"]["train"]
    assert found["failures"] == {"not_video": 1, "empty": 1}
    assert (found["listed"], found["read"], sum(found["seconds"]["counts"])) == (6, 4, 4)
    frames = [videos[f"train_{number:05d}"][1]["frames"] for number in range(4)]
    assert (found["frames"]["min"], found["frames"]["max"]) == (min(frames), max(frames))


def test_an_unreadable_split_still_has_its_charts(tmp_path, capsys):
    (tmp_path / "set" / "train" / "a").mkdir(parents=True)
    (tmp_path / "set" / "train" / "a" / "1.mp4").write_bytes(b"")
    main(["check", "folder", f"--root={tmp_path / 'set'}", "--splits=train", f"--charts={tmp_path / 'charts'}"])
    capsys.readouterr()
    found = json.loads((tmp_path / "charts" / "charts.json").read_text())["splits"]["train"]
    assert (found["read"], found["seconds"], found["failures"]) == (0, {}, {"empty": 1})
    assert (tmp_path / "charts" / "durations.png").exists()


@pytest.mark.parametrize("classes", [157, 400])
def test_the_names_of_many_classes_fit_beside_each_other(classes, tmp_path):
    from vidjax.viz.class_bars import draw_classes

    counts = {f"somebody is doing something with a thing {number}": number for number in range(classes)}
    path = draw_classes("set", counts, "videos", tmp_path / "classes.png")
    with Image.open(path) as picture:
        width, height = picture.size
        # 17 pixels per row at 120 dpi keep 7-point letters apart; the page is neither too wide nor too tall.
        assert classes * 17 < height * round(width / 420) < classes * 25
        assert 0.8 < width / height < 2
        grey = np.asarray(picture.convert("L"))
    assert (grey[:, -5:] == 255).all()  # nothing runs out of the page
    assert (grey[-3:] == 255).all()


def test_a_label_outside_the_classes_is_reported(tmp_path, videos, capsys):
    put(videos["train_00000"][0], tmp_path / "a.mp4")
    with (tmp_path / "train.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=" ", lineterminator="\n").writerows([["a.mp4", 0], ["b.mp4", 2]])
    (tmp_path / "labels.txt").write_text("run\nsit\n")
    splits = check(capsys, "folder", tmp_path, "--splits", "train")
    assert any("videos with a label outside the 2 classes: 1; the first is" in sentence for sentence in said(splits))
