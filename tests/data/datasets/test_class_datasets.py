"""Miniatures of COIN, HMDB51, Kinetics-600 and Kinetics-700 in their official layouts: one class per video."""

import json
import pathlib

import pytest
from miniatures import SMALL, put

from vidjax.config import DataConfig, EvalConfig
from vidjax.data import eval_batches, open_source
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.datasets import lvu
from vidjax.errors import DataError


@pytest.fixture
def coin_root(videos, tmp_path):
    database = {}
    for number in range(8):
        video = videos[f"train_{number:05d}"][0]
        put(video, tmp_path / "videos" / str(number) / f"vid-{number}.mp4")
        database[f"vid-{number}"] = {
            "recipe_type": number, "class": f"Task{number % 4}", "duration": 5.0 + 8 * number,
            "start": 1.0, "end": 4.0, "subset": "testing" if number > 5 else "training", "annotation": [],
        }  # fmt: skip
    (tmp_path / "COIN.json").write_text(json.dumps({"database": database}))
    (tmp_path / "taxonomy.csv").write_text("Domains,Targets\nDish,Task0\nDish,Task1\nSport,Task2\nVehicle,Task3\n")
    return tmp_path


def test_coin_has_tasks_and_domains_of_short_videos(coin_root):
    tasks = open_source(DataConfig(name="coin", root=str(coin_root)), "train")
    assert tasks.labels == ("Task0", "Task1", "Task2", "Task3")
    assert [tasks[i].label for i in range(6)] == [0, 1, 2, 3, 0, 1]
    domains = {s: open_source(DataConfig(name="coin_domains", root=str(coin_root)), s) for s in ("train", "val")}
    assert domains["train"].labels == ("Dish", "Sport", "Vehicle")
    # Videos 0 to 7 take 5, 13, ..., 61 seconds: the first and the last are left out.
    kept = [pathlib.Path(domains["train"][i].video).stem for i in range(len(domains["train"]))]
    assert kept == ["vid-1", "vid-2", "vid-3", "vid-4", "vid-5"]
    assert [domains["train"][i].label for i in range(5)] == [0, 1, 2, 0, 0]
    assert (len(domains["val"]), domains["val"][0].label) == (1, 1)


def test_coin_names_what_is_missing(coin_root):
    (coin_root / "taxonomy.csv").write_text("Dish,Task0\n")
    with pytest.raises(DataError, match="has no line for the task 'Task1' of video vid-1"):
        open_source(DataConfig(name="coin_domains", root=str(coin_root)), "train")
    (coin_root / "taxonomy.csv").unlink()
    with pytest.raises(DataError, match=r"COIN: no taxonomy.csv with lines `domain,task`"):
        open_source(DataConfig(name="coin_domains", root=str(coin_root)), "train")


def test_hmdb51_reads_the_lists_of_a_fold(videos, tmp_path):
    for label in ("wave", "brush_hair"):
        lines = []
        for number in range(3):
            put(videos[f"train_{number:05d}"][0], tmp_path / label / f"{label}_{number}.avi")
            lines.append(f"{label}_{number}.avi {(number + 1) % 3} ")
        folder = tmp_path / "testTrainMulti_7030_splits"
        folder.mkdir(exist_ok=True)
        for fold in "12":
            (folder / f"{label}_test_split{fold}.txt").write_text("\n".join(lines) + "\n")
    data = DataConfig(name="hmdb51", root=str(tmp_path))
    train, val = open_source(data, "train"), open_source(data, "val")
    assert train.labels == ("brush_hair", "wave")
    assert [pathlib.Path(train[i].video).stem for i in range(2)] == ["brush_hair_0", "wave_0"]
    assert [pathlib.Path(val[i].video).stem for i in range(2)] == ["brush_hair_1", "wave_1"]
    assert len(open_source(data, "test02")) == 2
    (tmp_path / "testTrainMulti_7030_splits" / "wave_test_split1.txt").write_text("wave_0.avi yes\n")
    with pytest.raises(DataError, match=r"wave_test_split1.txt, line 1: 'wave_0.avi yes' is not"):
        open_source(data, "train")


def test_kinetics_710_is_read_from_the_lists_of_videomae_v2(videos, tmp_path):
    """docs/DATASET.md: lines `video_path label`, read by VideoClsDataset at the spaces, relative to a root."""
    for split, rows in (("train", [("train_00000", 709), ("train_00001", 0)]), ("val", [("val_00000", 12)])):
        for name, _ in rows:
            put(videos[name][0], tmp_path / "k400" / f"{name}.mp4")
        (tmp_path / f"{split}.csv").write_text("".join(f"k400/{name}.mp4 {label}\n" for name, label in rows))
    names = [f"class {number}" for number in range(710)]
    (tmp_path / "labels.txt").write_text("\n".join(names))  # their misc/label_map_k710.txt, which has no final newline
    data = DataConfig(name="kinetics710", root=str(tmp_path), num_classes=710)
    train, val = open_source(data, "train"), open_source(data, "val")
    assert [(train[i].id, train[i].label) for i in range(2)] == [
        ("k400/train_00000.mp4", 709),
        ("k400/train_00001.mp4", 0),
    ]
    assert (val[0].label, val.num_classes) == (12, 710)
    assert train.labels == val.labels == tuple(names)


@pytest.mark.parametrize("name", ["kinetics600", "kinetics700"])
def test_kinetics_600_and_700_are_laid_out_like_400(videos, tmp_path, name):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "val.csv").write_text(
        "label,youtube_id,time_start,time_end,split\nzumba,aaaaaaaaaaa,5,15,val\nabseiling,bbbbbbbbbbb,0,10,val\n"
    )
    put(videos["val_00000"][0], tmp_path / "val" / "aaaaaaaaaaa_000005_000015.mp4")
    source = open_source(DataConfig(name=name, root=str(tmp_path)), "val")
    assert [source[i].label for i in range(2)] == [1, 0]
    data = DataConfig(**SMALL)
    batches = eval_batches(source, data, ClipRecipe.of(data, EvalConfig(clips=1, crops=1)), batch=2)
    assert next(batches)["decoded"].tolist() == [True, False]  # a missing video is kept and counted
    batches.close()


@pytest.fixture
def lvu_root(videos, tmp_path):
    """The authors' lists of one task, with a class that no list names and a missing video."""
    lists = {
        "train": ["0 nm0000229 -wX6_qCCnPc tt0102057", "5 nm0001675 gone0000000 tt0000001"],
        "val": ["4 nm0000165 0xWMqsZOYWg tt0083866", "0 nm0000229 gone1111111 tt0000002"],
        "test": ["9 nm0000233 5rkWzIzJiiA tt0087469"],
    }
    (tmp_path / "lvu_1.0" / "director").mkdir(parents=True)
    for part, lines in lists.items():
        text = "\n".join(["class_id class_name youtube_id imdb_id", *lines])
        (tmp_path / "lvu_1.0" / "director" / f"{part}.csv").write_text(text + "\n")
    for number, name in enumerate(("-wX6_qCCnPc", "0xWMqsZOYWg", "5rkWzIzJiiA")):
        put(videos[f"train_{number:05d}"][0], tmp_path / "mc_videos" / f"{name}.mp4")
    return tmp_path


def test_lvu_numbers_a_task_as_its_lists_do(lvu_root):
    data = DataConfig(name="lvu", root=str(lvu_root))
    train, val, test = (open_source(data, f"{part}_director") for part in ("train", "val", "test"))
    assert [train[i].label for i in range(len(train))] == [0]  # the missing video is left out of training
    assert [val[i].label for i in range(len(val))] == [4, 0]  # and counts in evaluation
    assert (test[0].label, pathlib.Path(test[0].video).stem) == (9, "5rkWzIzJiiA")
    assert train.labels == val.labels == test.labels
    assert (train.num_classes, train.labels[0], train.labels[2], train.labels[9]) == (
        10,
        "nm0000229",
        "class 2",
        "nm0000233",
    )


def test_lvu_names_the_fault_of_a_split_or_a_list(lvu_root):
    data, path = DataConfig(name="lvu", root=str(lvu_root)), lvu_root / "lvu_1.0" / "director" / "train.csv"
    with pytest.raises(DataError, match=r"no list of the split 'train_view_count' .*relationship, way_speaking, scene"):
        lvu.listing(str(lvu_root), "train_view_count")
    path.write_text(path.read_text().replace("5 nm0001675", "10 nm0001675"))
    with pytest.raises(DataError, match=r"train.csv, line 3: class_id '10' is not a class from 0 to 9"):
        open_source(data, "train_director")
    path.write_text("class_id class_name youtube_id\n0 nm0000229 -wX6_qCCnPc\n")
    with pytest.raises(DataError, match=r"does not begin with 'class_id class_name youtube_id imdb_id'"):
        open_source(data, "train_director")


@pytest.fixture
def breakfast_root(videos, tmp_path):
    """The lists of ViS4mer, whose names are paths; two cameras film the same dish, and one listed video is missing."""
    lists = {
        "train": ["P03-cam01-P03_tea,33,tea,2", "P03-webcam01-P03_tea,33,tea,2", "P04-cam01-P04_salat,90,salat,9"],
        "test": ["P47-stereo-P47_cereals_ch0,46,cereals,0"],
    }
    (tmp_path / "annotations").mkdir()
    for split, lines in lists.items():
        text = "\n".join(["file_name,duration,action,class_id", *lines])
        (tmp_path / "annotations" / f"{split}.csv").write_text(text + "\n")
    for number, place in enumerate(("P03/cam01/P03_tea", "P03/webcam01/P03_tea", "P47/stereo/P47_cereals_ch0")):
        put(videos[f"train_{number:05d}"][0], tmp_path / "BreakfastII_15fps_qvga_sync" / f"{place}.avi")
    return tmp_path


def test_breakfast_tells_cameras_apart_by_their_folders(breakfast_root):
    data = DataConfig(name="breakfast", root=str(breakfast_root))
    train, val = open_source(data, "train"), open_source(data, "val")
    assert train.labels[:4] == ("cereals", "coffee", "tea", "pancake")  # in the order of the lists' numbers
    assert [train[i].label for i in range(len(train))] == [2, 2]  # the missing video is left out of training
    assert {pathlib.Path(train[i].video).parent.name for i in range(2)} == {"cam01", "webcam01"}
    assert (len(val), val[0].label, val.num_classes) == (1, 0, 10)


def test_breakfast_names_the_fault_of_a_list(breakfast_root):
    data = DataConfig(name="breakfast", root=str(breakfast_root))
    path = breakfast_root / "annotations" / "train.csv"
    path.write_text(path.read_text().replace("salat,9", "salat,8"))
    with pytest.raises(DataError, match=r"train.csv, line 4: expected file_name,duration,action,class_id"):
        open_source(data, "train")
