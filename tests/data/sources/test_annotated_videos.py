"""`vidjax prepare`: records of Charades and AFEW-VA have the rows of the official layout, those of COIN its classes."""

import json
import pickle

import numpy as np
import pytest
from miniatures import SMALL, first, put, write_afew, write_charades

from vidjax.cli import main
from vidjax.config import DataConfig
from vidjax.data import open_source
from vidjax.data.video.readers import open_video
from vidjax.errors import DataError


@pytest.fixture
def home(videos, tmp_path):
    """Charades with enough training videos that shards do not hold them in order."""
    root = write_charades(videos, tmp_path / "home")
    path = root / "Charades" / "Charades_v1_train.csv"
    lines = path.read_text().splitlines()
    for number in (3, 4):
        put(videos[f"long_{number - 2:05d}"][0], root / "Charades_v1_480" / f"AB{number:03d}.mp4")
        lines.append(lines[1].replace("AB000", f"AB{number:03d}"))
    path.write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def faces(videos, tmp_path):
    """Eight subjects, so that no fold is empty."""
    root = write_afew(videos, tmp_path / "faces")
    (root / "subjects.csv").write_text("".join(f"{clip:03d},face {clip}\n" for clip in range(1, 9)))
    return root


def prepare(name, root, out, *words, code=0):
    """The folder of the records."""
    words = ["prepare", name, f"--root={root}", f"--out={out}", "--runner=threads", "--threads=2", *words]
    assert main(words) == code
    (folder,) = out.glob("*/1.0.0")
    return folder


def rows(name, root, split, annotation):
    source = open_source(DataConfig(name=name, root=str(root), **SMALL), split, annotation)
    return source, [source[index] for index in range(len(source))]


def known(row):
    """Everything about a row except the location of its video."""
    return {key: value for key, value in vars(row).items() if key != "video"}


def assert_same_pixels(files, stored):
    for one, other in zip(files, stored, strict=True):
        with open_video(one.video) as file, open_video(other.video) as record:
            assert (record.frames, record.fps) == (file.frames, file.fps)
            np.testing.assert_array_equal(record.read(range(file.frames)), file.read(range(file.frames)))


@pytest.mark.parametrize(("split", "annotation"), [("train", "intervals"), ("val", "intervals"), ("train", "captions")])
def test_records_of_charades_give_the_rows_and_batches_of_the_official_layout(home, tmp_path, split, annotation):
    records = prepare("charades", home, tmp_path / "out", "--keep-bytes", "--videos-per-shard=1")
    official, files = rows("charades", home, split, annotation)
    source, stored = rows("charades", records, split, annotation)
    numbers = [row.video.number for row in stored]
    assert split == "val" or numbers != sorted(numbers)  # the order of records is not that of the rows
    assert [known(row) for row in stored] == [known(row) for row in files]
    assert (source.labels, source.num_classes, source.annotation) == (official.labels, 8, annotation)
    assert_same_pixels(files, stored)
    batches = first(official), first(source)
    assert batches[0].keys() == batches[1].keys()
    for key, values in batches[0].items():
        np.testing.assert_array_equal(values, batches[1][key])


@pytest.mark.parametrize(("split", "annotation"), [("train", "target"), ("val3", "target"), ("train5", "label")])
def test_records_of_afew_va_give_the_windows_of_the_frames_to_the_bit(faces, tmp_path, split, annotation):
    records = prepare("afew_va", faces, tmp_path / "out", "--keep-bytes")
    official, files = rows("afew_va", faces, split, annotation)
    source, stored = rows("afew_va", records, split, annotation)
    assert [known(row) for row in stored] == [known(row) for row in files]
    assert source.labels == official.labels
    assert {row.video.first for row in stored} >= {-2, 3}  # windows that begin before their clip
    assert_same_pixels(files, stored)
    batches = first(official), first(source)
    for key, values in batches[0].items():
        np.testing.assert_array_equal(values, batches[1][key])


def test_frames_are_encoded_unless_bytes_are_to_be_kept_and_their_rows_stay(faces, tmp_path):
    records = prepare("afew_va", faces, tmp_path / "out")
    _, files = rows("afew_va", faces, "val", "target")
    _, stored = rows("afew_va", records, "val", "target")
    assert [known(row) for row in stored] == [known(row) for row in files]
    with open_video(files[3].video) as file, open_video(stored[3].video) as record:
        pictures, encoded = file.read(range(4)).astype(float), record.read(range(4)).astype(float)
    distance = np.abs(pictures[:, None] - encoded).mean((2, 3, 4))
    assert distance.argmin(axis=1).tolist() == [0, 1, 2, 3]
    assert 0 < np.diag(distance).max() < 6  # of 255 levels, x264 at crf 20


def test_rows_of_records_can_be_sent_to_loader_processes(faces, tmp_path):
    source, files = rows("afew_va", prepare("afew_va", faces, tmp_path / "out"), "val", "target")
    travelled = pickle.loads(pickle.dumps(source))
    assert (travelled.content_id, repr(travelled)) == (source.content_id, repr(source))
    assert_same_pixels(files[:2], [travelled[0], travelled[1]])


def test_every_clip_is_stored_once_whatever_the_number_of_folds(faces, tmp_path):
    records = prepare("afew_va", faces, tmp_path / "out", "--keep-bytes")
    lines = [json.loads(line) for path in records.glob("about_fold*.jsonl") for line in path.open()]
    assert sorted(line["id"] for line in lines) == [f"{clip:03d}" for clip in range(1, 9)]
    assert {line["about"]["subject"] for line in lines} == {f"face {clip}" for clip in range(1, 9)}


def test_a_damaged_picture_keeps_its_clip_out_of_the_records_and_is_reported(faces, tmp_path, capsys):
    (faces / "01" / "004" / "00002.png").write_bytes(b"no picture")
    records = prepare("afew_va", faces, tmp_path / "out", code=3)
    assert "004 is not stored: corrupt" in capsys.readouterr().err
    left = {row.id[:3] for split in ("train", "val") for row in rows("afew_va", records, split, "target")[1]}
    assert left == {f"{clip:03d}" for clip in range(1, 9)} - {"004"}


def test_records_of_another_data_set_are_refused(home, faces, tmp_path):
    charades = prepare("charades", home, tmp_path / "charades")
    with pytest.raises(DataError, match=r"records in .* have no fold1, .*; `vidjax prepare afew_va` writes all folds"):
        rows("afew_va", charades, "train", "target")
    some = prepare("afew_va", faces, tmp_path / "some", "--splits=fold1,fold2")
    with pytest.raises(DataError, match=r"have no fold3, fold4, fold5"):
        rows("afew_va", some, "train", "target")
    with pytest.raises(DataError, match=r"hold other annotations instead of labels; set data.name to"):
        open_source(DataConfig(name="folder", root=str(charades)), "train")
    (charades / "about_train.jsonl").unlink()
    with pytest.raises(DataError, match=r"lack the annotations of charades; write them with `vidjax prepare chara"):
        rows("charades", charades, "train", "intervals")


def test_records_of_coin_keep_tasks_and_their_names(videos, tmp_path, capsys):
    database = {}
    for number in range(4):
        put(videos[f"train_{number:05d}"][0], tmp_path / "coin" / "videos" / str(number) / f"vid-{number}.mp4")
        database[f"vid-{number}"] = {
            "recipe_type": number, "class": f"Task{number % 2}", "duration": 20.0,
            "subset": "testing" if number > 1 else "training",
        }  # fmt: skip
    (tmp_path / "coin" / "COIN.json").write_text(json.dumps({"database": database}))
    records = prepare("coin", tmp_path / "coin", tmp_path / "out", "--keep-bytes")
    capsys.readouterr()
    for root in (tmp_path / "coin", records):
        assert main(["check", "coin", f"--root={root}", "--json"]) == 1  # 4 videos of 2 tasks are not all of COIN
        counts = [about["class_counts"] for about in json.loads(capsys.readouterr().out)["splits"]]
        assert counts == [{"Task0": 1, "Task1": 1}] * 2
    for split in ("train", "val"):
        official, files = rows("coin", tmp_path / "coin", split, "label")
        source, stored = rows("coin", records, split, "label")
        assert source.labels == official.labels == ("Task0", "Task1")
        assert {(row.id, row.label) for row in stored} == {(row.id, row.label) for row in files}
