"""`vidjax check` reports by split what is missing from a data set, as text and JSON."""

import json
import pathlib
import re
import subprocess
import sys

import pytest

from vidjax.cli import main
from vidjax.config import DataConfig
from vidjax.data import motion_videos, open_source
from vidjax.data.datasets import DATASETS


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """The bytes of a real video."""
    root = motion_videos.prepare(
        str(tmp_path_factory.mktemp("data") / "motion"),
        motion_videos.MotionSpec(train_videos=0, test_videos=0, val_videos=1),
    )
    return (pathlib.Path(root) / motion_videos.annotations(root)[0]["video"]).read_bytes()


@pytest.fixture
def write(tmp_path, video):
    def write(name, content=None):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(video if content is None else content.encode())
        return path

    return write


def answer(capsys, *words):
    code = main(["check", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def problems(found, split):
    (about,) = (about for about in found["splits"] if about["split"] == split)
    return " / ".join(about["problems"])


def test_a_whole_folder_has_nothing_missing(write, tmp_path, capsys):
    for name in ("train/a/1.mp4", "train/b/2.mp4", "val/a/3.mp4", "val/b/4.mp4"):
        write(name)
    code, found = answer(capsys, "folder", "--root", str(tmp_path), "--read", "decode")
    assert (code, found["complete"]) == (0, True)
    assert [(s["split"], s["layout"], s["listed"], s["classes"]) for s in found["splits"]] == [
        ("train", "class folders", 2, 2),
        ("val", "class folders", 2, 2),
    ]
    assert main(["check", "folder", "--root", str(tmp_path)]) == 0
    assert "nothing is missing" in capsys.readouterr().out


def test_every_missing_file_of_a_list_is_named_not_only_the_first(write, tmp_path, capsys):
    write("a.mp4")
    write("train.csv", "a.mp4 0\ngone.mp4 1\nlost.mp4 1\n")
    write("val.csv", "a.mp4 0\n")
    code, found = answer(capsys, "folder", "--root", str(tmp_path), "--splits", "train")
    assert code == 1
    assert [pathlib.Path(path).name for path in found["splits"][0]["missing"]] == ["gone.mp4", "lost.mp4"]
    assert "2 of 3 listed videos are missing" in problems(found, "train")
    assert "1 of 2 classes have no video; the first is 1" in problems(found, "train")


def test_videos_that_cannot_be_read_are_listed_with_their_reason(write, tmp_path, capsys):
    write("train/a/1.mp4")
    write("train/a/2.mp4", "this is no video at all")
    write("val/a/3.mp4")
    words = ("folder", "--root", str(tmp_path), "--splits", "train")
    assert answer(capsys, *words)[0] == 0
    code, found = answer(capsys, *words, "--read", "index")
    assert code == 1
    assert [(row["reason"], row["id"][-5:]) for row in found["splits"][0]["unreadable"]] == [("not_video", "2.mp4")]
    assert "1 video cannot be read: 1 not_video" in problems(found, "train")


def test_a_missing_split_gives_a_message_with_what_was_expected(write, tmp_path, capsys):
    write("train/a/1.mp4")
    code, found = answer(capsys, "ucf101", "--root", str(tmp_path))
    assert code == 1
    assert "expected ucfTrainTestlist/{classInd,trainlist01,testlist01}.txt" in problems(found, "val")
    assert "found train" in problems(found, "val")


def test_a_public_data_set_is_compared_with_the_published_counts(write, tmp_path, capsys):
    write("ucfTrainTestlist/classInd.txt", "1 YoYo\n2 Diving\n")
    write("ucfTrainTestlist/trainlist01.txt", "YoYo/v_1.avi 1\nDiving/v_2.avi 2\nDiving/v_3.avi 2\n")
    write("ucfTrainTestlist/testlist01.txt", "YoYo/v_1.avi\n")
    write("UCF-101/YoYo/v_1.avi")
    write("UCF-101/Diving/v_2.avi")
    code, found = answer(capsys, "ucf101", "--root", str(tmp_path))
    assert code == 1
    train, val = found["splits"]
    assert (train["layout"], train["listed"], len(train["missing"]), train["classes"]) == (
        "official annotations",
        3,
        1,
        2,
    )
    assert "only 2 classes are named; UCF101 has 101" in problems(found, "train")
    assert "only 3 videos are listed; UCF101 has 9537 in this split" in problems(found, "train")
    assert "1 videos are in 'train' too; the first is v_1.avi" in problems(found, "val")
    assert val["missing"] == []


def test_records_are_checked_too(write, tmp_path, capsys):
    for name in ("in/train/a/1.mp4", "in/train/b/2.mp4"):
        write(name)
    words = ["--root", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--splits=train", "--runner=threads"]
    assert main(["prepare", "folder", *words]) == 0
    capsys.readouterr()
    code, found = answer(capsys, "folder", "--root", str(tmp_path / "out"), "--splits", "train", "--read", "index")
    assert code == 0
    assert (found["splits"][0]["layout"], found["splits"][0]["listed"]) == ("records", 2)


def test_a_missing_root_is_a_user_error(tmp_path, capsys):
    assert main(["check", "ssv2", "--root", str(tmp_path / "gone")]) == 2
    assert "labels/{labels,train,validation}.json" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name, spec in DATASETS.items() if spec.needs_root])
def test_every_data_set_with_a_root_says_what_it_expects_in_an_empty_one(name, tmp_path, capsys):
    code, found = answer(capsys, name, "--root", str(tmp_path))
    assert code == 1
    assert [about["split"] for about in found["splits"]] == list(DATASETS[name].splits)
    assert all(f"found nothing, expected {DATASETS[name].layout}" in text for text in found["splits"][0]["problems"])


@pytest.mark.parametrize("name", [name for name, spec in DATASETS.items() if not spec.needs_root])
@pytest.mark.parametrize("verb", ["check", "prepare"])
def test_generated_videos_are_neither_checked_nor_prepared(verb, name, tmp_path, capsys):
    words = ["--out", str(tmp_path / "out")] if verb == "prepare" else []
    assert main([verb, name, "--root", str(tmp_path), *words]) == 2
    assert f"vidjax generates the videos of {name}; there is nothing to {verb}" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["check", "prepare"])
def test_an_unknown_data_set_is_refused_with_the_nearest_name(verb, tmp_path, capsys):
    words = ["--out", str(tmp_path / "out")] if verb == "prepare" else []
    assert main([verb, "kinetcs400", "--root", str(tmp_path), *words]) == 2
    assert "'kinetcs400' is not a data set; did you mean 'kinetics400'?" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--help"], ["check", "--help"]])
def test_help_lists_the_data_sets_without_importing_them(words):
    code = (
        "import contextlib, io, sys\nfrom vidjax.cli import main\nshown = io.StringIO()\n"
        f"with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):\n    main({words!r})\n"
        f"assert {words!r} == ['--help'] or 'kinetics700' in shown.getvalue()\n"
        "assert not [name for name in sys.modules if name.startswith('vidjax.data.datasets')]\n"
        "assert not {'numpy', 'jax', 'cv2'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_folder_is_reported_as_training_will_use_it(write, tmp_path, capsys):
    for label, count in (("jump", 9), ("run", 6), ("sit", 2)):
        for number in range(count):
            write(f"{label}/{number}.mp4")
    write("run/broken.mp4", "this is no video at all")
    assert main(["check", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    lists = {split: open_source(DataConfig(root=str(tmp_path)), split) for split in ("train", "val")}
    train, val = map(len, lists.values())
    assert (
        f"{tmp_path}: 18 videos in 3 class folders; {train} to train, {val} to validate, by a hash of each name "
        "(data.val_fraction=0.2)" in said
    )
    for number, name in enumerate(("jump", "run", "sit")):
        counts = [len(source.rows_of_class(number)) for source in lists.values()]
        assert re.search(rf"^ {name} +{counts[0]} +{counts[1]} $", said, re.MULTILINE)
    assert re.search(r"^ train +2 +20 +10 +48x48 +$", said, re.MULTILINE)  # seconds, frames, rate, size
    for experiment, batch, least in (("pretrain", 16, 600), ("finetune", 8, 2000)):  # for a tiny model
        words = rf"configs/{experiment}.py: (\d+) steps of {batch} videos, or (\d+) epochs of {train}, for a tiny"
        steps, epochs = map(int, re.search(words, said).groups())
        assert steps == pytest.approx(epochs * train / batch, abs=0.5)
        assert least <= steps < least + train / batch + 1
    assert "17 of 17 videos are shorter than a clip, which spans 61 frames (16 frames, every 4th)" in said
    assert re.search(r"not_video: .*run/broken.mp4", said)
    assert "train: note: 1 of 3 classes have fewer than 5 videos ('sit' has 2)" in said
    assert "nothing is missing" not in said


def test_the_flags_of_a_run_give_its_split(write, tmp_path, capsys):
    for number in range(24):
        write(f"{'ab'[number % 2]}/{number}.mp4", "no video")
    counts = {}
    for share in ("0.2", "0.5"):
        assert main(["check", str(tmp_path), "--val-fraction", share]) == 1
        said = capsys.readouterr().out
        data = DataConfig(root=str(tmp_path), val_fraction=float(share))
        train, val = (open_source(data, split) for split in ("train", "val"))
        assert (
            f"{len(train)} to train, {len(val)} to validate, by a hash of each name (data.val_fraction={share})" in said
        )
        counts[share] = [len(val.rows_of_class(number)) for number in (0, 1)]
        few, many = sorted(counts[share])
        held, others = (f"{count} of the 12 videos of '" for count in (few, many))
        assert (f"it holds out {held}" in said) == (f"and {others}" in said) == (few < many)
    assert counts["0.2"] != counts["0.5"]
    main(["check", str(tmp_path), "--split-by", "folder"])
    assert "12 to train, 12 to validate, by a hash of each folder" in capsys.readouterr().out


def test_only_the_training_split_says_what_training_will_use(write, tmp_path, capsys):
    for number in range(12):
        write(f"train/a/{number}.mp4", "no video")
        write(f"val/a/{number}.mp4", "no video")
    write("train/b/0.mp4", "no video")
    write("val/b/0.mp4", "no video")
    said = {}
    for splits in ("train,val", "val,train", "val"):
        main(["check", str(tmp_path), "--splits", splits])
        said[splits] = capsys.readouterr().out
        assert ("have fewer than 5 videos" in said[splits]) == ("train" in splits)
    steps = [line for line in said["train,val"].splitlines() if line.startswith("configs/")]
    assert len(steps) == 2
    assert all("epochs of 13" in line for line in steps)
    assert [line for line in said["val,train"].splitlines() if line.startswith("configs/")] == steps
    assert "configs/" not in said["val"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--val-fraction", "1.5"], "config.data.val_fraction=1.5 must lie strictly between 0 and 1"),
        (["--split-by", "scene"], "invalid choice: 'scene'"),
        (["--val-fractoin", "0.1"], "did you mean --val-fraction?"),
    ],
)
def test_invalid_split_options_are_rejected(words, told, tmp_path, capsys):
    assert main(["check", str(tmp_path), *words]) == 2
    assert told in capsys.readouterr().err
    assert main(["check", "ucf101", "--root", str(tmp_path), "--val-fraction", "0.1"]) == 2
    assert "are for your own folder or list; ucf101 has its own splits" in capsys.readouterr().err


def test_a_folder_without_classes_and_a_list_are_reported_too(write, tmp_path, capsys):
    for number in range(8):
        write(f"{number}.mp4")
    assert main(["check", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert f"{tmp_path}: 8 videos without classes; " in said
    assert "configs/pretrain.py: " in said
    assert "configs/finetune.py: " not in said
    assert "nothing is missing" in said
    write(
        "list.csv",
        "path,label\n" + "".join(f"{number}.mp4,{'ab'[number % 2]}\n" for number in range(7)) + "gone.mp4,b\n",
    )
    code, found = answer(capsys, str(tmp_path / "list.csv"))
    assert (code, found["dataset"]) == (1, "folder")
    assert {split["layout"] for split in found["splits"]} == {"list"}
    assert sum(split["listed"] for split in found["splits"]) == 8
    assert [pathlib.Path(path).name for split in found["splits"] for path in split["missing"]] == ["gone.mp4"]
    assert "8 videos of 2 classes (path in column 'path', label in column 'label')" in found["splits"][0]["reading"]


def test_many_videos_are_sampled_unless_all_are_requested(write, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("vidjax.cli.verbs.check.SAMPLED", 3)
    for number in range(12):
        write(f"{number}.mp4", "this is no video at all")
    _, found = answer(capsys, str(tmp_path))
    assert [len(split["unreadable"]) for split in found["splits"]] == [3, min(3, found["splits"][1]["listed"])]
    assert f"3 of {found['splits'][0]['listed']} videos were opened, evenly spread" in found["splits"][0]["notes"]
    _, found = answer(capsys, str(tmp_path), "--read", "index")
    assert sum(len(split["unreadable"]) for split in found["splits"]) == 12


def test_a_problem_of_every_split_is_reported_once(tmp_path, capsys):
    (tmp_path / "notes.md").write_text("no video")
    assert main(["check", str(tmp_path)]) == 1
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{tmp_path} holds no videos")


def test_a_single_video_is_not_a_data_set(tmp_path, capsys):
    (tmp_path / "a.mp4").write_bytes(b"\x00\xff")
    assert main(["check", str(tmp_path / "a.mp4")]) == 2
    assert "a.mp4 is a single video; give its folder, or a list of videos" in capsys.readouterr().err


def test_neither_a_folder_nor_a_data_set_is_a_user_error(tmp_path, capsys):
    assert main(["check", str(tmp_path / "gone")]) == 2
    told = capsys.readouterr().err
    assert (
        "gone is neither a folder, a list of videos nor the name of a data set; the names: activitynet_captions" in told
    )
    (tmp_path / "videos").mkdir()
    assert main(["check", str(tmp_path / "video")]) == 2
    assert f"did you mean '{tmp_path}/videos'?" in capsys.readouterr().err
    assert main(["check", "ucf102"]) == 2
    assert "did you mean 'ucf101'?" in capsys.readouterr().err
    assert main(["check", "ucf101"]) == 2
    assert "--root=DIR, the folder of ucf101, is missing" in capsys.readouterr().err
    assert main(["check", str(tmp_path), "--root", str(tmp_path)]) == 2
    assert "--root is for a named data set" in capsys.readouterr().err
