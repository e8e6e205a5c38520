"""Prepared records that a disk has damaged: training takes other videos, evaluation counts the lost ones."""

import itertools
import json
import os
import pathlib
import pickle
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from videos import encode, moving_texture

from vidjax.config import DataConfig
from vidjax.data import eval_batches, open_source, train_batches
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.prepare import builder
from vidjax.data.prepare.codec import Storing, open_whole_index
from vidjax.data.sources import record_files
from vidjax.data.sources.in_memory import InMemorySource
from vidjax.errors import DataError, VideoError

CLIPS = {"num_frames": 2, "stride": 1, "image_size": 32, "global_batch": 4}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Records of six training videos of two classes, and the bytes of each."""
    root = tmp_path_factory.mktemp("prepared")
    for number in range(7):
        path = root / f"videos/{'train' if number < 6 else 'val'}/{'ab'[number % 2]}/{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(moving_texture(8, 32, 48, seed=number)))
    videos = open_source(DataConfig(root=str(root / "videos")), "train")
    folder, _ = builder.prepare_records("folder", {"train": videos}, root / "out")
    return DataConfig(root=str(folder), **CLIPS)


def shard(data):
    (path,) = pathlib.Path(data.root).glob("*.array_record*")
    return path


@pytest.fixture
def damaged(prepared):
    """Flip one bit of the video of record 2, and restore it afterwards."""
    path, whole = shard(prepared), shard(prepared).read_bytes()
    at = whole.index(open_source(prepared, "train")[2].video) + 500
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
    yield prepared
    path.write_bytes(whole)


def test_a_flipped_bit_is_a_corrupt_video_with_its_label(damaged):
    source = open_source(damaged, "train")
    row = source[2]
    assert (row.id, row.label) == ("train/2", source.row_labels()[2])
    with pytest.raises(VideoError, match="record 2 of the prepared data set cannot be read") as caught:
        open_whole_index(row.video)
    assert caught.value.reason == "corrupt"
    assert [len(source[index].video) > 0 for index in (0, 1, 3, 4, 5)] == [True] * 5


def test_training_takes_another_video_of_the_class_and_says_which_failed(damaged):
    source = open_source(damaged, "train")
    batches = train_batches(source, damaged, seed=0)
    taken = list(itertools.islice(batches, 6))
    batches.close()
    failed = np.concatenate([batch["failed"][:, 0] for batch in taken])
    used = np.concatenate([batch["index"] for batch in taken])
    assert set(failed) == {-1, 2}
    assert set(used) == {0, 1, 3, 4, 5}
    assert set(source.row_labels()[used[failed == 2]]) == {source.row_labels()[2]}
    reasons = np.concatenate([batch["failed_reason"][:, 0] for batch in taken])
    assert {VideoError.REASONS[reason] for reason in reasons[failed == 2]} == {"corrupt"}


def test_evaluation_counts_what_is_lost(damaged):
    source = open_source(damaged, "train")
    recipe = ClipRecipe(num_frames=2, stride=1, image_size=32)
    batches = list(eval_batches(source, damaged, recipe, batch=3))
    decoded = np.concatenate([batch["decoded"] for batch in batches])
    assert decoded.tolist() == [True, True, False, True, True, True]
    assert batches[0]["label"][2] == source.row_labels()[2]


def test_none_of_a_hundred_flips_changes_a_video_or_ends_reading(prepared):
    path, whole = shard(prepared), shard(prepared).read_bytes()
    source = open_source(prepared, "train")
    rows = [source[index] for index in range(6)]
    used = np.flatnonzero(np.frombuffer(whole, np.uint8))  # ArrayRecord pads its blocks with zeros
    lost = 0
    try:
        for at in np.random.default_rng(0).choice(used, 100):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << (at % 8))]) + whole[at + 1 :])
            try:
                source = open_source(prepared, "train")
            except DataError:
                lost += 1
                continue
            for index, row in enumerate(rows):
                found = source[index]
                if isinstance(found.video, bytes):
                    assert found == row
                else:
                    lost += 1
    finally:
        path.write_bytes(whole)
    assert lost >= 90


def test_records_of_many_files_equal_those_that_tfds_reads_with_few_files_open(prepared, tmp_path, monkeypatch):
    videos = open_source(DataConfig(root=prepared.root), "train")
    rows = InMemorySource("train", [videos[index] for index in range(6)], labels=videos.labels)
    folder, _ = builder.prepare_records("many", {"train": rows}, tmp_path, storing=Storing(videos_per_shard=1))
    assert len(list(pathlib.Path(folder).glob("*.array_record*"))) == 6
    wanted = list(tfds.builder_from_directory(str(folder)).as_data_source("train"))
    monkeypatch.setattr(record_files, "MOST_OPEN", 2)
    source = open_source(DataConfig(root=str(folder)), "train")
    for copy in (source, pickle.loads(pickle.dumps(source))):
        before = len(os.listdir("/proc/self/fd"))
        for index in [*range(6), 5, 0, 3]:
            record, row = wanted[index], copy[index]
            assert (row.video, row.label, row.id) == (record["video"], record["label"], record["id"].decode())
            assert len(os.listdir("/proc/self/fd")) - before <= 2


def test_without_the_file_of_labels_a_damaged_record_is_named(damaged, tmp_path):
    folder = shutil.copytree(damaged.root, tmp_path / "copy")
    (folder / "labels_train.npy").unlink()
    with pytest.raises(DataError, match="record 2 of the prepared data set"):
        open_source(DataConfig(root=str(folder), **CLIPS), "train").row_labels()


@pytest.mark.parametrize("wrapped", [False, True])
def test_records_cannot_name_a_module_to_be_imported(prepared, tmp_path, monkeypatch, wrapped):
    """TFDS imports the module of every class in features.json, wherever it is."""
    folder = shutil.copytree(prepared.root, tmp_path / "records")
    (tmp_path / "hostile.py").write_text("raise SystemExit('it ran')")
    monkeypatch.syspath_prepend(tmp_path)
    path = folder / "features.json"
    features = json.loads(path.read_text())
    stranger = {"pythonClassName": "hostile.Feature", "tensor": {}}
    if wrapped:
        stranger = {"jsonFeature": {"json": json.dumps({"type": "hostile.Feature", "content": "{}"})}}
    features["featuresDict"]["features"]["id"] = stranger
    path.write_text(json.dumps(features))
    with pytest.raises(DataError, match=r"names the class 'hostile.Feature', which is not a TFDS feature"):
        open_source(DataConfig(root=str(folder), **CLIPS), "train")


def test_labels_that_are_pickled_are_not_read(prepared, tmp_path):
    class Hostile:
        def __reduce__(self):
            return pathlib.Path.touch, (tmp_path / "it ran",)

    folder = shutil.copytree(prepared.root, tmp_path / "records")
    np.save(folder / "labels_train.npy", np.array([Hostile()] * 6, object), allow_pickle=True)
    with pytest.raises(DataError, match=r"labels_train\.npy cannot be read .*; prepare the data set again"):
        open_source(DataConfig(root=str(folder), **CLIPS), "train").row_labels()
    assert not (tmp_path / "it ran").exists()


@pytest.mark.parametrize("name", ["label_map.json", "labels_train.npy", "label.labels.txt", "dataset_info.json"])
def test_damaged_small_files_of_records_are_refused_or_change_no_video_that_can_be_read(prepared, tmp_path, name):
    """The labels of rows come from their records, which have hashes."""
    folder = shutil.copytree(prepared.root, tmp_path / "records")
    data = DataConfig(root=str(folder), **CLIPS)
    rows = [open_source(data, "train")[index] for index in range(6)]
    whole, rng, refused = (folder / name).read_bytes(), np.random.default_rng(0), 0
    flips = [bytearray(whole) for _ in range(60)]
    for flipped in flips:
        flipped[rng.integers(len(whole))] ^= 1 << rng.integers(8)
    for content in (b"", b"{", b"[1]", b"null", b"\xff", whole[:-9], *flips):
        (folder / name).write_bytes(content)
        try:
            source = open_source(data, "train")
            source.row_labels()
        except DataError:
            refused += 1
        else:
            found = [source[index] for index in range(6)]
            assert all(ours == row or not isinstance(ours.video, bytes) for ours, row in zip(found, rows, strict=True))
    assert refused > 20
