"""The recipe in a report counts in plain English and leaves out what is switched off."""

import dataclasses

import pytest

from vidjax.config import Config, to_saved, with_keys
from vidjax.viz.recipe import recipe_blocks

SCORED = {"train": {"videos": 1}, "validation": {"videos": 4}}


def recipe(data=SCORED, **keys):
    keys = {key.replace("__", "."): value for key, value in keys.items()}
    _, table = recipe_blocks(to_saved(with_keys(dataclasses.replace(Config()), keys)), data)
    return dict(table.rows)


@pytest.mark.parametrize(
    ("keys", "row", "words"),
    [
        ({"train__steps": 1}, "length", "1 step"),
        ({"train__steps": 300}, "length", "300 steps"),
        ({"train__steps": 0, "train__epochs": 1.0}, "length", "1 epoch"),
        ({"train__steps": 0, "train__epochs": 2.5}, "length", "2.5 epochs"),
        ({"data__global_batch": 1, "data__clips_per_decode": 1}, "batch", "1 video"),
        ({"data__global_batch": 16, "data__clips_per_decode": 4}, "batch", "16 videos x 4 clips"),
        ({"eval__clips": 2, "eval__crops": 1}, "scored by", "2 clips x 1 crop of each video, merged by mean_softmax"),
    ],
)
def test_one_is_singular(keys, row, words):
    assert recipe(**keys)[row] == words


def test_the_learning_rate_is_given_per_videos_as_the_key_defines_it():
    found = recipe(optim__base_lr=0.002, optim__reference_batch=16)["optimiser"]
    assert "base learning rate 0.002 per 16 videos, " in found
    assert "layer decay" not in found
    assert recipe(optim__layer_decay=0.75)["optimiser"].endswith(", layer decay 0.75")


def test_a_single_training_video_is_counted_as_one():
    assert recipe()["data"].endswith(", 1 training video")
    assert "scored by" not in recipe(data={"train": {"videos": 1}})
