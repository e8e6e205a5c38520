"""Miniatures of AFEW-VA, Charades, COIN, HMDB51 and Kinetics-600 in their official layouts, made from motion videos."""

import json
import pathlib
import runpy
import shutil

import cv2
import numpy as np
import pytest

from vidjax import config as config_lib
from vidjax.config import DataConfig, EvalConfig
from vidjax.data import eval_batches, open_source, train_batches
from vidjax.data.datasets import afew_va, charades, motion
from vidjax.data.decode import read_frames
from vidjax.data.frames import FrameWindow, open_video
from vidjax.errors import DataError, VideoError
from vidjax.training import train

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
SPEC = motion.MotionSpec(train_videos=8, val_videos=8, long_videos=3, size=32)
SMALL = {"num_frames": 4, "stride": 1, "image_size": 32, "global_batch": 4, "crop": "center", "threads": 1}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    root = pathlib.Path(motion.prepare(str(tmp_path_factory.mktemp("mini") / "motion"), SPEC))
    return {about["id"]: (root / about["video"], about) for about in motion.annotations(str(root))}


def put(video, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(video, target)


def first(source, **changes):
    batches = train_batches(source, DataConfig(**(SMALL | changes)), seed=0)
    batch = next(batches)
    batches.close()
    return batch


# AFEW-VA: clips as folders of frames, with the velocity in tenths as valence and arousal.


@pytest.fixture
def afew(videos, tmp_path):
    for number in range(8):
        video = videos[f"train_{number:05d}"][0]
        folder = tmp_path / "01" / f"{number + 1:03d}"
        folder.mkdir(parents=True)
        length = 6 + number
        frames = {}
        for place, picture in enumerate(read_frames(str(video), np.arange(length))):
            cv2.imwrite(str(folder / f"{place:05d}.png"), picture[..., ::-1])
            frames[f"{place:05d}"] = {"landmarks": [[0, 0]] * 68, "valence": place - 5.0, "arousal": float(number - 4)}
        about = {"actor": f"actor {number // 2}", "video_id": folder.name, "frames": frames}
        (folder / f"{folder.name}.json").write_text(json.dumps(about))
    return tmp_path


def test_afew_va_gives_a_window_around_every_frame(afew):
    data = DataConfig(name="afew_va", root=str(afew), **SMALL)
    train, val = (open_source(data, split, "target") for split in ("train", "val"))
    assert len(train) + len(val) == sum(range(6, 14))
    assert train.labels == ("valence", "arousal")
    row = next(train[i] for i in range(len(train)) if train[i].id == "004/00003.png")
    assert row.target == pytest.approx((-0.2, -0.1))
    # Frames 1 to 4 around frame 3, which is the third of four; at an edge the first and last are repeated.
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


def test_nobody_is_in_training_and_test_and_every_fold_is_tested_once(afew):
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


def test_a_subject_in_two_folds_is_refused(afew):
    (afew / "subjects.csv").write_text("clip,subject,fold\n001,Ann,1\n002,Ann,2\n")
    with pytest.raises(DataError, match=r"subject 'Ann' is in folds 1 and 2 \(clip 002\); give all clips of a subject"):
        open_source(DataConfig(name="afew_va", root=str(afew), **SMALL), "train", "target")


def test_clips_of_nobody_known_are_said(afew, caplog):
    for path in afew.rglob("*.json"):
        path.write_text(json.dumps({"frames": json.loads(path.read_text())["frames"]}))
    open_source(DataConfig(name="afew_va", root=str(afew), **SMALL), "train", "target")
    assert "8 of 8 clips do not say who is in them" in caplog.text


def test_what_is_wrong_with_afew_va_is_named(afew):
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


def test_a_missing_picture_is_a_failed_video_not_a_crash(afew):
    window = FrameWindow(str(afew / "01" / "001"), ("00000.png", "nothing.png"), 0, 2, 25.0)
    with open_video(window) as video, pytest.raises(VideoError, match=r"missing: .*nothing.png cannot be found"):
        video.read([0, 1])


# Charades: three long videos with their intervals.


@pytest.fixture
def home(videos, tmp_path):
    folder = tmp_path / "Charades"
    folder.mkdir()
    (folder / "Charades_v1_classes.txt").write_text(
        "".join(f"c{number:03d} Doing {name}\n" for number, name in enumerate(motion.CLASSES))
    )
    header = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length"
    lines = {"train": [header], "test": [header]}
    for number in range(3):
        video, about = videos[f"long_{number:05d}"]
        name = f"AB{number:03d}"
        put(video, tmp_path / "Charades_v1_480" / f"{name}.mp4")
        parts = [(p["start"], p["end"], motion.CLASSES.index(p["class"])) for p in about["intervals"]]
        parts[-1] = (parts[-1][0], 9.5, parts[-1][2])  # runs past the end, at 8 s
        actions = ";".join(f"c{number:03d} {start:.2f} {end:.2f}" for start, end, number in parts)
        text = f'"{about["caption"]}, slowly.;Another one, of {name}"'
        split = "test" if number == 2 else "train"
        lines[split].append(f"{name},XYZ,Kitchen,6,7,Yes,A script.,cup,{text},{actions if number else ''},8.00")
    for split, rows in lines.items():
        (folder / f"Charades_v1_{split}.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_charades_reads_intervals_and_says_which_run_past_the_end(home, videos, caplog):
    data = DataConfig(name="charades", root=str(home), **SMALL)
    train, val = (open_source(data, split, "intervals") for split in ("train", "val"))
    assert [len(train), len(val), val.num_classes] == [2, 1, 8]
    assert train[0].intervals == ()  # a video without actions stays, as a negative of every class
    shown = [motion.CLASSES.index(part["class"]) for part in videos["long_00002"][1]["intervals"]]
    assert [number for _, _, number in val[0].intervals] == shown
    assert (val[0].intervals[-1][1], val[0].duration) == (9.5, 8.0)
    assert "Charades: of 4 intervals 1 run past the end, the first in AB002" in caplog.text
    seen = {number for _, _, number in train[1].intervals}
    absent = min(set(range(8)) - seen)
    assert f"{8 - len(seen)} of 8 classes are never seen in training, the first of them 'Doing" in caplog.text
    assert f"'Doing {motion.CLASSES[absent]}'" in caplog.text
    assert first(train)["labels"].shape == (4, 8)


def test_charades_reads_descriptions(home):
    source = open_source(DataConfig(name="charades", root=str(home), **SMALL), "train", "captions")
    assert source[0].captions[1] == "Another one, of AB000"
    assert len(source[0].captions) == 2


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("c0", "c9", r"line 2 \(AB002\): class c9\d\d is not one of the 8 classes"),
        (" 9.50", "", r"line 2 \(AB002\): 'c00\d 6.00' is not an action such as"),
        ("8.00", "long", r"line 2 \(AB002\): length 'long' is not a number of seconds"),
    ],
)
def test_what_is_wrong_with_charades_is_named(home, old, new, sentence):
    path = home / "Charades" / "Charades_v1_test.csv"
    body, _, line = path.read_text().rstrip("\n").partition("\n")
    head, _, tail = line.rpartition(old)
    path.write_text(f"{body}\n{head}{new}{tail}\n")
    with pytest.raises(DataError, match=sentence):
        open_source(DataConfig(name="charades", root=str(home), **SMALL), "val", "intervals")


def test_charades_is_not_a_classification(home):
    with pytest.raises(DataError, match=r"charades has no single class a video; set config.task=multi_label or cap"):
        open_source(DataConfig(name="charades", root=str(home), **SMALL), "train")


# COIN, HMDB51 and Kinetics-600: one class a video.


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


def test_coin_says_what_is_missing(coin_root):
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


@pytest.mark.parametrize("name", ["kinetics600", "kinetics700"])
def test_kinetics_600_and_700_are_laid_out_like_400(videos, tmp_path, name):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "val.csv").write_text(
        "label,youtube_id,time_start,time_end,split\nzumba,aaaaaaaaaaa,5,15,val\nabseiling,bbbbbbbbbbb,0,10,val\n"
    )
    put(videos["val_00000"][0], tmp_path / "val" / "aaaaaaaaaaa_000005_000015.mp4")
    source = open_source(DataConfig(name=name, root=str(tmp_path)), "val")
    assert [source[i].label for i in range(2)] == [1, 0]
    batches = eval_batches(source, DataConfig(**SMALL), EvalConfig(clips=1, crops=1), batch=2)
    assert next(batches)["decoded"].tolist() == [True, False]  # a missing video stays, and is counted
    batches.close()


def test_protocols_are_keys_of_the_configuration():
    from vidjax.data.datasets import coin, coin_domains, hmdb51, kinetics600

    for module in (charades, coin, coin_domains, hmdb51, kinetics600):
        DataConfig(**module.PROTOCOL["data"])
        EvalConfig(**module.PROTOCOL["eval"])
    assert afew_va.quadrant(0.0, -0.1) == 3


# Through the real loop: two steps on each miniature, scored by its protocol.


def run(config_file, arg, root, workdir, **changes):
    config = runpy.run_path(str(CONFIGS / config_file))["get_config"](arg)
    keys = {"data.root": str(root), "data.train_split": "train", "data.eval_split": "val", "data.global_batch": 16}
    keys |= {
        "train.steps": 2,
        "train.log_every": 1,
        "train.checkpoint_every": 2,
        "eval.batch": 8,
        "optim.warmup_steps": 1,
    }
    config.update_from_flattened_dict(keys | {"data.name": config_file.removesuffix(".py")} | changes)
    return train(config_lib.from_dict(config.to_dict()), workdir)


def test_quadrants_of_seven_frames_are_trained_and_reported_by_class(afew, tmp_path):
    results = run("afew_va.py", "quadrant,smoke", afew, tmp_path / "run")
    held_out = [results[key] for key in ("eval/num_scored", "eval/num_expected")]
    assert held_out[0] == held_out[1] > 0
    assert {"eval/precision_macro", "eval/recall_micro", "eval/f1_macro", "eval/constant_top1"} <= set(results)
    assert any(key.startswith("eval/f1/top_") for key in results)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["data"]["num_frames"], config["data"]["tubelet_remainder"]) == (7, "drop")


def test_valence_and_arousal_are_trained_and_scored_over_all_frames(afew, tmp_path):
    results = run("afew_va.py", "smoke", afew, tmp_path / "run", **{"data.num_frames": 8, "train.accumulate": 2})
    lines = [json.loads(line) for line in (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()]
    found, wanted = (np.array([line[key] for line in lines]) for key in ("prediction", "target"))
    assert len(lines) == results["eval/num_expected"]
    assert results["eval/rmse_valence"] == pytest.approx(np.sqrt(np.mean((found - wanted)[:, 0] ** 2)), rel=1e-4)


def test_charades_is_trained_on_windows_and_scored_at_25_moments(home, tmp_path):
    results = run("charades.py", "svt,smoke", home, tmp_path / "run", **{"data.stride": 2})
    assert (results["eval/num_scored"], results["eval/num_expected"]) == (1, 1)
    assert results["eval/num_intervals_past_the_end"] == 1
    assert results["eval/num_windows"] == 9  # 80 frames at 10 a second: 16 of them every 0.8 s
    assert 0 < results["eval/map_localised"] <= 1
    assert results["eval/map"] == 1.0  # one video: every class that it has is ranked first
