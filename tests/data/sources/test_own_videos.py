"""Users' own folders and lists: read, numbered and divided, or refused with a sentence that says what to do."""

import json
import pickle

import numpy as np
import pytest
from videos import encode, moving_texture

from vidjax.config import DataConfig
from vidjax.data import eval_batches, open_source, train_batches
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.sources.annotations import LABEL, NOTHING
from vidjax.data.sources.hash_split import held_out
from vidjax.errors import DataError

VIDEO = encode(moving_texture(8, 32, 48))
SMALL = {"num_frames": 4, "stride": 1, "image_size": 16, "global_batch": 4, "crop": "center", "threads": 1}


def put(root, *names, content=VIDEO):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def rows(root, split, annotation=NOTHING, **data):
    source = open_source(DataConfig(root=str(root), **data), split, annotation)
    return {source[index].id: source[index].label for index in range(len(source))}


def said(root, annotation=NOTHING, split="train", **data):
    return open_source(DataConfig(root=str(root), **data), split, annotation).reading.sentence


def refusal(root, split="train", annotation=LABEL, **data):
    with pytest.raises(DataError) as caught:
        open_source(DataConfig(root=str(root), **data), split, annotation)
    assert "\n" not in str(caught.value)
    return str(caught.value)


FLAT = tuple(f"clip {number:02d}.mp4" for number in range(20))


def test_a_flat_folder_is_divided_by_a_hash_and_has_no_classes(tmp_path):
    put(tmp_path, *FLAT)
    out = held_out(FLAT, None, share=0.2)
    train, val = rows(tmp_path, "train"), rows(tmp_path, "val")
    assert set(val) == {name for name, held in zip(FLAT, out, strict=True) if held}
    assert set(train) == set(FLAT) - set(val)
    source = open_source(DataConfig(root=str(tmp_path)), "train", NOTHING)
    assert (source.annotation, source.labels, source.num_classes) == (NOTHING, None, 0)
    assert said(tmp_path) == (
        f"{tmp_path}: 20 videos without classes; {len(train)} to train, {len(val)} to validate, by a hash of each name "
        "(data.val_fraction=0.2)"
    )
    assert set(rows(tmp_path, "all")) == set(FLAT)


def test_videos_added_to_a_folder_move_none(tmp_path):
    put(tmp_path, *FLAT)
    before = {split: set(rows(tmp_path, split)) for split in ("train", "val")}
    put(tmp_path, *(f"later/{number}.mov" for number in range(30)))
    for split in before:
        assert before[split] < set(rows(tmp_path, split))


def test_the_share_and_the_folders_that_stay_together_are_settings(tmp_path):
    names = [f"scene {number % 10}/{number}.mp4" for number in range(60)]
    put(tmp_path, *names)
    halves = rows(tmp_path, "val", val_fraction=0.5)
    assert set(rows(tmp_path, "val", val_fraction=0.1)) < set(halves)
    together = {"split_by": "folder", "val_fraction": 0.3}
    train, val = ({name.split("/")[0] for name in rows(tmp_path, split, **together)} for split in ("train", "val"))
    assert train | val == {f"scene {number}" for number in range(10)}
    assert not train & val
    assert "by a hash of each folder (data.val_fraction=0.3)" in said(tmp_path, **together)
    assert "are scenes to keep together, not classes" in refusal(tmp_path, **together)


def test_class_folders_are_divided_class_by_class(tmp_path):
    names = [f"{label}/{number}.mp4" for label in ("run", "jump", "sit") for number in range(6)]
    put(tmp_path, *names)
    train, val = rows(tmp_path, "train", LABEL), rows(tmp_path, "val", LABEL)
    out = held_out(names, [name.split("/")[0] for name in names], share=0.2)
    assert set(val) == {name for name, held in zip(names, out, strict=True) if held}
    numbers = {"jump": 0, "run": 1, "sit": 2}
    assert (train | val) == {name: numbers[name.split("/")[0]] for name in names}
    assert {numbers[name.split("/")[0]] for name in val} == {0, 1, 2}
    assert f"{tmp_path}: 18 videos in 3 class folders; " in said(tmp_path)
    # videos held out from pre-training stay held out from fine-tuning
    assert rows(tmp_path, "val", NOTHING) == val


@pytest.mark.parametrize("stray", ["clip.mp4", "run/deeper/clip.mp4"])
def test_folders_with_a_video_beside_them_or_deeper_down_are_not_classes(tmp_path, stray):
    put(tmp_path, "run/1.mp4", "run/2.mp4", "sit/3.mp4", stray)
    assert len(rows(tmp_path, "all")) == 4
    assert refusal(tmp_path) == (
        f"{tmp_path} does not consist of class folders that directly hold all of its videos: there are no classes to "
        f"learn. Sort the videos into a folder for each class, {tmp_path}/<class>/<video>, or write a list with the "
        "columns path and label. Videos without classes can be used for pre-training, with "
        "config.task=masked_autoencoding"
    )


def test_a_training_folder_without_a_validation_folder_is_divided(tmp_path):
    names = [f"train/{label}/{number}.mp4" for label in "ab" for number in range(5)]
    put(tmp_path, *names)
    train, val = rows(tmp_path, "train", LABEL), rows(tmp_path, "val", LABEL)
    assert set(train) | set(val) == set(names)
    assert not set(train) & set(val)
    assert set(train.values()) == set(val.values()) == {0, 1}
    put(tmp_path, "validation/b/9.mp4")  # from now on, validation uses this folder
    assert set(rows(tmp_path, "train", LABEL)) == set(names)
    assert rows(tmp_path, "val", LABEL) == {"validation/b/9.mp4": 1}
    assert said(tmp_path) == f"{tmp_path}: 11 videos in 2 class folders; 10 in train, 1 in validation"


def test_split_folders_without_classes_can_be_pre_trained_on(tmp_path):
    put(tmp_path, "train/1.mp4", "train/more/2.mp4", "val/3.mp4")
    assert rows(tmp_path, "train") == {"train/1.mp4": 0, "train/more/2.mp4": 0}
    assert rows(tmp_path, "val") == {"val/3.mp4": 0}
    assert "train/1.mp4 does not lie in a class folder train/<class>/: there are no classes to learn" in refusal(
        tmp_path
    )


def test_a_lone_video_and_a_lone_scene_cannot_be_divided(tmp_path):
    put(tmp_path, "scene/1.mp4")
    assert rows(tmp_path, "train") == {"scene/1.mp4": 0}
    assert "has nothing for val: its videos (1) cannot be divided" in refusal(tmp_path, "val", NOTHING)
    put(tmp_path, "scene/2.mp4")
    assert len(rows(tmp_path, "val")) == 1
    assert "with data.split_by=folder, one folder; add videos" in refusal(tmp_path, "val", NOTHING, split_by="folder")


def test_without_a_training_split_a_class_that_only_the_test_split_has_is_named(tmp_path):
    put(tmp_path, "val/a/1.mp4", "val/b/2.mp4", "test/a/3.mp4", "test/c/4.mp4")
    assert refusal(tmp_path, "test") == (
        f"{tmp_path}/test/c/4.mp4 has the class 'c', which does not occur in {tmp_path}/val"
    )


def test_a_missing_split_is_named_with_the_existing_ones(tmp_path):
    put(tmp_path, *FLAT)
    assert refusal(tmp_path, "test", NOTHING) == f"{tmp_path} has no split 'test'; it has train, val"


def test_batches_without_classes_have_the_usual_arrays_and_substitute_any_video(tmp_path):
    put(tmp_path, *FLAT[:4])
    put(tmp_path, "broken.mp4", "empty.mp4", content=b"")
    data = DataConfig(root=str(tmp_path), eval_split="train", **SMALL)
    source = open_source(data, "train", NOTHING)
    assert len(source) == 6
    assert pickle.loads(pickle.dumps(source)).reading is None  # a worker needs no list of names
    batches = train_batches(source, data, seed=0)
    seen = [next(batches) for _ in range(6)]
    batches.close()
    assert set(seen[0]) == {"video", "label", "valid", "index", "failed", "failed_reason"}
    failed = {source[row].id for batch in seen for row in batch["failed"].ravel() if row >= 0}
    assert failed == {"broken.mp4", "empty.mp4"}
    assert all(batch["valid"].all() and not batch["label"].any() for batch in seen)
    assert {source[int(row)].id for batch in seen for row in batch["index"]} == set(FLAT[:4])
    scored = eval_batches(source, data, ClipRecipe(num_frames=4, stride=1, image_size=16), batch=6)
    assert next(scored)["decoded"].sum() == 4
    scored.close()


def test_batches_for_pre_training_do_not_depend_on_classes(tmp_path):
    put(tmp_path, *(f"train/{label}/{number}.mp4" for label in "ab" for number in range(4)), "val/a/1.mp4")
    put(tmp_path, "train/a/broken.mp4", content=b"")
    data = DataConfig(root=str(tmp_path), **SMALL)
    batches = [train_batches(open_source(data, "train", what), data, seed=0) for what in (LABEL, NOTHING)]
    for _ in range(4):
        with_classes, without = (next(batch) for batch in batches)
        assert set(with_classes) == set(without)
        for name in with_classes:
            np.testing.assert_array_equal(with_classes[name], without[name])
    for batch in batches:
        batch.close()


def test_what_was_read_is_kept_with_the_numbers_of_the_classes_and_the_names_in_each_split(tmp_path):
    put(tmp_path, *(f"{label}/{number}.mp4" for label in ("sit", "run") for number in range(3)))
    record = open_source(DataConfig(root=str(tmp_path)), "train", LABEL).reading.record
    assert json.loads(json.dumps(record)) == record
    assert record["classes"] == {"run": 0, "sit": 1}
    assert record["divided"] == "by a hash of each name (data.val_fraction=0.2)"
    assert {name: set(rows(tmp_path, name)) for name in record["splits"]} == {
        name: set(names) for name, names in record["splits"].items()
    }
