"""`vidjax check`: what is missing in a root is told by split, in sentences and in JSON."""

import json
import pathlib

import pytest

from vidjax.cli import main
from vidjax.data import audit, datasets, motion_videos
from vidjax.data.datasets import ON_DISK


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """The bytes of a real video."""
    root = motion_videos.prepare(
        str(tmp_path_factory.mktemp("data") / "motion"), motion_videos.MotionSpec(train_videos=0, val_videos=1)
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
    code, found = answer(capsys, "folder", "--root", str(tmp_path), "--splits", "train")
    assert code == 1
    assert [pathlib.Path(path).name for path in found["splits"][0]["missing"]] == ["gone.mp4", "lost.mp4"]
    assert "2 of 3 listed videos are not there" in problems(found, "train")
    assert "1 of 2 classes have no video; the first is 1" in problems(found, "train")


def test_videos_that_cannot_be_read_are_listed_with_their_reason(write, tmp_path, capsys):
    write("train/a/1.mp4")
    write("train/a/2.mp4", "this is no video at all")
    words = ("folder", "--root", str(tmp_path), "--splits", "train")
    assert answer(capsys, *words)[0] == 0
    code, found = answer(capsys, *words, "--read", "index")
    assert code == 1
    assert [(row["reason"], row["id"][-5:]) for row in found["splits"][0]["unreadable"]] == [("not_video", "2.mp4")]
    assert "1 videos cannot be read: 1 not_video" in problems(found, "train")


def test_a_split_that_is_not_there_says_what_was_expected(write, tmp_path, capsys):
    write("train/a/1.mp4")
    code, found = answer(capsys, "ucf101", "--root", str(tmp_path))
    assert code == 1
    assert "expected ucfTrainTestlist/{classInd,trainlist01,testlist01}.txt" in problems(found, "val")
    assert "which has train" in problems(found, "val")


def test_a_public_data_set_is_compared_with_what_is_published(write, tmp_path, capsys):
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
    assert "it names 2 classes; UCF101 has 101" in problems(found, "train")
    assert "it lists 3 videos; UCF101 has 9537" in problems(found, "train")
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


def test_a_root_that_is_not_there_is_a_mistake(tmp_path, capsys):
    assert main(["check", "ssv2", "--root", str(tmp_path / "gone")]) == 2
    assert "labels/{labels,train,validation}.json" in capsys.readouterr().err


@pytest.mark.parametrize("name", ON_DISK)
def test_every_data_set_that_can_be_named_says_what_it_is(name):
    known = audit.known(name)
    assert known.title
    assert known.layout
    assert known.splits
    assert (known.module is None) == (name == "folder")


def test_every_data_set_with_a_module_can_be_checked_or_is_made_here():
    modules = {path.stem for path in pathlib.Path(datasets.__file__).parent.glob("*.py")}
    modules -= {"__init__", "annotated", "afew_va_clips"}
    assert modules - set(ON_DISK) == {"motion", "motion_facts"}
