"""A miniature of Jester in its official layout: folders of frames."""

import cv2
import numpy as np
import pytest
from miniatures import SMALL

from vidjax.cli import main
from vidjax.config import DataConfig, EvalConfig
from vidjax.data import eval_batches, open_source, train_batches
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.video.decode import read_frames
from vidjax.errors import DataError

CLASSES = ("Swiping Left", "Swiping Right", "Doing other things")


@pytest.fixture
def root(videos, tmp_path):
    """Classes in the order of their list, which is not the alphabet's; one gesture of each list has no folder."""
    (tmp_path / "jester-v1-labels.csv").write_text("\n".join(CLASSES) + "\n")
    (tmp_path / "jester-v1-train.csv").write_text("7;Doing other things\n34870;Swiping Left\n999;Swiping Right\n")
    (tmp_path / "jester-v1-validation.csv").write_text("998;Swiping Left\n9223;Swiping Right\n")
    for number, name in enumerate(("7", "34870", "9223")):
        folder = tmp_path / "20bn-jester-v1" / name
        folder.mkdir(parents=True)
        for place, picture in enumerate(read_frames(str(videos[f"train_{number:05d}"][0]), np.arange(6 + number)), 1):
            cv2.imwrite(str(folder / f"{place:05d}.jpg"), picture[..., ::-1])
    return tmp_path


def test_gestures_are_folders_of_frames_with_the_numbers_of_the_official_list(root, caplog):
    data = DataConfig(name="jester", root=str(root))
    train, val = open_source(data, "train"), open_source(data, "val")
    assert train.labels == CLASSES
    assert [(train[i].id, train[i].label, train[i].video.count) for i in range(len(train))] == [
        ("7", 2, 6),
        ("34870", 0, 7),
    ]
    assert "1 of the 3 videos listed for split 'train' are missing" in caplog.text
    assert [(val[i].id, val[i].label) for i in range(len(val))] == [("998", 0), ("9223", 1)]


def test_batches_hold_the_frames_of_the_folders_and_a_missing_gesture_is_wrong(root):
    data = DataConfig(name="jester", root=str(root), **(SMALL | {"global_batch": 2}))
    batches = train_batches(open_source(data, "train"), data, seed=0)
    batch = next(batches)
    batches.close()
    assert sorted(batch["label"].tolist()) == [0, 2]
    assert batch["video"].std() > 5  # pictures, not padding
    assert batch["valid"].all()
    batches = eval_batches(open_source(data, "val"), data, ClipRecipe.of(data, EvalConfig(clips=1, crops=1)), batch=2)
    assert next(batches)["decoded"].tolist() == [False, True]
    batches.close()


def test_records_have_the_same_rows_and_pixels(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("records")
    (root / "jester-v1-validation.csv").write_text("9223;Swiping Right\n")
    assert main(["prepare", "jester", "--root", str(root), "--out", str(out), "--threads", "1"]) == 0
    (folder,) = out.glob("jester_videos/*")
    stored = open_source(DataConfig(name="jester", root=str(folder)), "val")
    assert (len(stored), stored[0].label, stored.labels) == (1, 1, CLASSES)


def test_check_names_the_gestures_that_are_missing(root, capsys):
    assert main(["check", "jester", "--root", str(root)]) != 0
    assert "train: 1 of 3 listed videos are missing; the first is 999" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("jester-v1-train.csv", "7;Waving\n", r"train.csv, line 1: '7;Waving' is not `<id>;<class>` with a class from"),
        ("jester-v1-train.csv", "\n7\n", r"train.csv, line 2: '7' is not `<id>;<class>`"),
        ("jester-v1-train.csv", "", r"the annotations list no video for split 'train'"),
        ("jester-v1-train.csv", "999;Swiping Right\n", r"none of the 1 videos listed for split 'train' is under"),
    ],
)
def test_malformed_annotations_are_refused_with_the_offending_line(root, file, text, sentence):
    (root / file).write_text(text)
    with pytest.raises(DataError, match=sentence):
        open_source(DataConfig(name="jester", root=str(root)), "train")


def test_the_test_split_has_no_labels(root):
    with pytest.raises(DataError, match=r"Jester: no jester-v1-labels.csv or no list of split 'test' .* train and val"):
        open_source(DataConfig(name="jester", root=str(root)), "test")
