"""Opening millions of rows is cheap: no file accesses, no object per row, no copy per worker; same order."""

import hashlib
import itertools
import json
import os
import pickle
import subprocess
import sys

import grain
import numpy as np
import pytest
from array_record.python import array_record_module
from peak_memory import PEAK_MEMORY
from videos import encode, moving_texture

from vidjax.config import DataConfig
from vidjax.data import eval_batches, in_place, open_source, train_batches
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.loader import _Part
from vidjax.data.prepare import builder
from vidjax.data.sources import tables, video_lists
from vidjax.data.sources.annotations import LABEL, NOTHING
from vidjax.data.sources.texts import Texts
from vidjax.data.sources.video_files import Files, FileSource
from vidjax.errors import DataError, VideoError

VIDEO = encode(moving_texture(8, 32, 48))
SMALL = {"num_frames": 2, "stride": 1, "image_size": 16, "global_batch": 8, "crop": "center", "threads": 1}


def put(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(VIDEO)


def ids(source, rows):
    return [source[int(row)].id for row in rows]


def shown(source, data, batches):
    """The ids of the videos in the first batches."""
    taken = train_batches(source, data, seed=3)
    found = [name for batch in itertools.islice(taken, batches) for name in ids(source, batch["index"])]
    taken.close()
    return found


def previous_order(names, batches):
    """The order from when every video was a separate object: a list of them, shuffled and repeated."""
    order = grain.MapDataset.source(names).seed(3).shuffle().repeat(4)
    return [order[row] for row in range(batches * 8)]


def held_out(name, share=0.2):
    return int(hashlib.sha256(name.encode()).hexdigest()[:16], 16) / 2**64 < share


@pytest.mark.parametrize("workers", [0, 2])
def test_the_shuffled_order_of_a_divided_list_is_unchanged(tmp_path, monkeypatch, workers):
    monkeypatch.setattr(video_lists, "_LONG", 0)  # treat it as long, with large arrays
    monkeypatch.setattr(tables, "_BLOCK", 50)
    monkeypatch.setattr(in_place, "LARGE", 1)
    names = [f"clips/{number * 7 % 41:02d} take.mp4" for number in range(41)]
    put(tmp_path, *names)
    lines = [f"{name},{'ab'[number % 2]}" for number, name in enumerate(names)]
    (tmp_path / "all.csv").write_text("path,label\n" + "\n\n".join(lines) + "\n")
    data = DataConfig(root=str(tmp_path), workers=workers, **SMALL)
    train = [name for name in names if not held_out(name)]
    assert 25 < len(train) < 41
    assert shown(open_source(data, "train"), data, 6) == previous_order(train, 6)
    source = open_source(data, "val")
    assert ids(source, range(len(source))) == [name for name in names if held_out(name)]


def test_the_shuffled_order_of_folders_is_unchanged(tmp_path):
    names = [f"train/{label}/{number}.mp4" for label in ("b", "a", "a-b", "a b") for number in range(5)]
    put(tmp_path, *names, "val/a/1.mp4")
    data = DataConfig(root=str(tmp_path), **SMALL)
    assert shown(open_source(data, "train"), data, 5) == previous_order(sorted(names), 5)


def test_lines_are_counted_over_blocks_and_empty_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_BLOCK", 12)
    put(tmp_path, *(f"{number}.mp4" for number in range(6)))
    text = "\n\npath,label\n0.mp4,run\n\n1.mp4,sit\n2.mp4,run\n\n\n\n3.mp4,sit\n4.mp4,{}\n\n5.mp4,{}\n"
    for last, line in ((("run", "3"), 14), (("3", "run"), 12)):
        (tmp_path / "list.csv").write_text(text.format(*last))
        with pytest.raises(DataError, match=rf"list.csv, line {line}: '3' is a class number, but 'run' before it"):
            open_source(DataConfig(root=str(tmp_path)), "train")
    (tmp_path / "list.csv").write_text(text.format("run", "sit,down"))
    with pytest.raises(DataError, match="line 14: it has 3 columns, but line 3 has 2"):
        open_source(DataConfig(root=str(tmp_path / "list.csv")), "train")


@pytest.fixture
def looked_at(monkeypatch):
    """The paths that are accessed with os.stat and functions built on it."""
    paths, stat = [], os.stat

    def noted(path, *args, **options):
        paths.append(path)
        return stat(path, *args, **options)

    monkeypatch.setattr(os, "stat", noted)
    return paths


@pytest.mark.parametrize("layout", ["list", "folders", "kinetics400"])
def test_starting_does_not_look_at_all_files(tmp_path, looked_at, layout):
    names = [f"train/{label}/{label}{number:03d}_000000_000010.mp4" for label in "ab" for number in range(300)]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    if layout == "list":
        (tmp_path / "train.csv").write_text("".join(f"{name},{name.split('/')[1]}\n" for name in names))
    if layout == "kinetics400":
        rows = [f"{label},{label}{number:03d},0,10,train" for label in "ab" for number in range(300)]
        (tmp_path / "annotations").mkdir()
        path = tmp_path / "annotations/train.csv"
        path.write_text("\n".join(["label,youtube_id,time_start,time_end,split", *rows]))
    looked_at.clear()
    data = DataConfig(name="folder" if layout != "kinetics400" else layout, root=str(tmp_path), eval_split="train")
    for annotation in (LABEL, NOTHING):
        assert len(open_source(data, "train", annotation)) == 600
    seen = [path for path in looked_at if str(path).endswith(".mp4")]
    assert len(set(map(os.fspath, seen))) <= 64 + 3  # a sample for the content id, and the first three lines


def test_missing_videos_are_reported_replaced_in_training_and_counted_in_evaluation(tmp_path, caplog):
    put(tmp_path, *(f"{number}.mp4" for number in range(1, 12)))
    (tmp_path / "train.csv").write_text("".join(f"{number}.mp4,{'ab'[number % 2]}\n" for number in range(12)))
    (tmp_path / "val.csv").write_text("".join(f"{number}.mp4,{'ab'[number % 2]}\n" for number in range(4)))
    data = DataConfig(root=str(tmp_path), **SMALL)
    source = open_source(data, "train")
    assert (
        f"train.csv, line 1: there is no file {tmp_path}/0.mp4; of 12 videos checked, 1 are missing; training "
        "replaces them with others. `vidjax check` checks all 12"
    ) in caplog.text
    batches = train_batches(source, data, seed=0)
    taken = list(itertools.islice(batches, 3))
    batches.close()
    failed = np.concatenate([batch["failed"][:, 0] for batch in taken])
    used = np.concatenate([batch["index"] for batch in taken])
    assert set(failed) == {-1, 0}
    assert set(source.row_labels()[used[failed == 0]]) == {source[0].label}
    reasons = np.concatenate([batch["failed_reason"][:, 0] for batch in taken])
    assert {VideoError.REASONS[reason] for reason in reasons[failed == 0]} == {"missing"}
    recipe = ClipRecipe(num_frames=2, stride=1, image_size=16)
    (scored,) = eval_batches(open_source(data, "val"), data, recipe, batch=4)
    assert (scored["decoded"].tolist(), scored["valid"].tolist()) == ([False, True, True, True], [True] * 4)


@pytest.mark.parametrize("count", [3, 500])
def test_a_root_without_any_of_the_listed_videos_is_refused(tmp_path, count):
    (tmp_path / "train.csv").write_text("".join(f"k400/{number}.mp4,{number % 2}\n" for number in range(count)))
    with pytest.raises(DataError) as caught:
        open_source(DataConfig(root=str(tmp_path), eval_split="train"), "train")
    which = "listed videos" if count == 3 else "64 videos checked"
    assert str(caught.value) == (
        f"{tmp_path}/train.csv, line 1: there is no file {tmp_path}/k400/0.mp4, nor any other of the {which}; set "
        "data.root to their folder"
    )


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="arrays travel with the rest here")
def test_a_worker_gets_no_copy_of_the_names(tmp_path):
    names = [f"videos/{number:032d}.mp4" for number in range(3 * 10**5)]
    source = FileSource("train", Files(str(tmp_path), Texts.of(names)), [0] * len(names))
    assert len(pickle.dumps(source)) > 10**6  # for another machine, it is pickled with its names
    sent = pickle.dumps(_Part(grain.MapDataset.source(source), 4, (0, 1)))
    assert len(sent) < 10**5
    rows = pickle.loads(sent)
    assert rows[77777].id == names[77777]


OPENING = f"""
import json, sys, time
from vidjax.config import DataConfig
from vidjax.data import open_source
{PEAK_MEMORY}
before = peak_memory()
began = time.process_time()
sources = [open_source(DataConfig(root=sys.argv[1]), split) for split in ("train", "val")]
spent, peak = time.process_time() - began, peak_memory()
row = sources[0][len(sources[0]) - 1]
print(json.dumps([[*map(len, sources)], row.id, row.label, spent, peak, peak - before]))
"""


def opened_elsewhere(root):
    done = subprocess.run([sys.executable, "-c", OPENING, root], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def write_list(root, rows):
    """Write a list of `rows` videos of 700 classes, the first of which exist."""
    with (root / "list.csv").open("w") as file:
        file.write("path,label\n")
        for first in range(0, rows, 10**5):
            file.writelines(f"{path(row)},c{row % 700}\n" for row in range(first, min(first + 10**5, rows)))
    put(root, *map(path, range(100)))


def path(row):
    return f"k700/class_{row % 700:03d}/{row * 40503 % 2**32:08x}_{row:08d}.mp4"


def test_a_row_costs_as_much_memory_as_its_path_and_forty_bytes(tmp_path):
    write_list(tmp_path, 400_000)
    (train, val), name, label, _, _, grown = opened_elsewhere(tmp_path)
    assert train + val == 400_000
    order = sorted(f"c{number}" for number in range(700))
    assert order[label] == f"c{int(name[len('k700/class_') :][:3])}"
    assert grown < 400_000 * (40 + 40) + 60e6  # plus what is read at once


@pytest.mark.slow
def test_ten_million_rows_are_opened_within_a_minute_and_a_gigabyte(tmp_path):
    write_list(tmp_path, 10**7)
    (train, val), _, _, spent, peak, _ = opened_elsewhere(tmp_path)
    assert train + val == 10**7
    assert peak < 1e9
    assert spent < 60


RESUMING = f"""
import itertools, json, sys, time
from vidjax.config import DataConfig
from vidjax.data import open_source, train_batches
{PEAK_MEMORY}
data = DataConfig(root=sys.argv[1], num_frames=2, stride=1, image_size=16, global_batch=8, threads=1)
source = open_source(data, "train")
opened = time.process_time(), peak_memory()
batches = train_batches(source, data, seed=3, start_step=10**6)
rows = [int(row) for batch in itertools.islice(batches, 2) for row in batch["index"]]
resumed = time.process_time() - opened[0], peak_memory()
batches.close()
print(json.dumps([len(source), rows, opened, resumed]))
"""


@pytest.mark.slow
def test_ten_million_records_are_opened_and_resumed_within_a_minute_and_a_gigabyte(tmp_path):
    """A thousand files, each a link to the same one of 10,000 records; resuming repeats the rows of the order."""
    put(tmp_path / "videos", "train/a/1.mp4")
    one = open_source(DataConfig(root=str(tmp_path / "videos"), eval_split="train"), "train")
    folder, _ = builder.prepare_records("folder", {"train": one}, tmp_path / "out")
    (written,) = folder.glob("*.array_record*")
    record = array_record_module.ArrayRecordReader(str(written)).read([0])[0]
    written.unlink()
    writer = array_record_module.ArrayRecordWriter(str(tmp_path / "file"), "group_size:1,uncompressed")
    for _ in range(10_000):
        writer.write(record)
    writer.close()
    for number in range(1000):
        (folder / f"folder_videos-train.array_record-{number:05d}-of-01000").symlink_to(tmp_path / "file")
    about = json.loads((folder / "dataset_info.json").read_text())
    about["splits"][0]["shardLengths"] = ["10000"] * 1000
    (folder / "dataset_info.json").write_text(json.dumps(about))
    np.save(folder / "labels_train.npy", np.zeros(10**7, np.int64))
    done = subprocess.run([sys.executable, "-c", RESUMING, folder], capture_output=True, text=True, check=True)
    rows, taken, opened, resumed = json.loads(done.stdout)
    assert rows == 10**7
    order = grain.MapDataset.range(10**7).seed(3).shuffle().repeat(4)
    assert taken == [order[8 * 10**6 + number] for number in range(16)]
    for seconds, peak in (opened, resumed):
        assert seconds < 60
        assert peak < 1e9
