"""Clip recipes: from a run, as published for public weights, and with a user's changes."""

import dataclasses

import pytest
from random_runs import write_run
from saved_runs import make_config

import vidjax
from vidjax.data.clips.recipe import ClipRecipe, Windows
from vidjax.models import build_model
from vidjax.weights.clip_recipes import RecipeChanges, change_recipe, published_recipe

WHOLE = ClipRecipe(num_frames=8, stride=4, clips=5, crops=3, merge="sum_logits")
SECONDS = ClipRecipe(num_frames=8, stride=32, sampling="seconds")
SPREAD = ClipRecipe(num_frames=8, stride=1, sampling="segment_integer")
TIMED = ClipRecipe(num_frames=8, fps=4.0)
SLIDING = ClipRecipe(num_frames=8, crops=3, merge="mean_sigmoid", windows=Windows(seconds=0.5, merge="mean"))


def test_a_runs_recipe_comes_from_its_configuration(tmp_path):
    changes = {
        "num_frames": 4,
        "stride": 3,
        "fps": 5.0,
        "sampling": "dense_loop",
        "interpolation": "area",
        "std": (0.1, 0.2, 0.3),
    }
    changes = {f"data__{key}": value for key, value in changes.items()}
    config = make_config(eval__clips=2, eval__crops=3, eval__merge="max", model__dtype="bfloat16", **changes)
    run = write_run(tmp_path / "run", config, 3)
    wanted = ClipRecipe(
        num_frames=4, stride=3, fps=5.0, sampling="dense_loop", image_size=16, interpolation="area",
        mean=(0.4, 0.5, 0.6), std=(0.1, 0.2, 0.3), clips=2, crops=3, merge="max",
    )  # fmt: skip
    assert vidjax.from_pretrained(run).clip_recipe == wanted
    larger = vidjax.from_pretrained(run, num_frames=8, image_size=32)
    assert larger.clip_recipe == dataclasses.replace(wanted, num_frames=8, image_size=32)
    assert larger.objective.module == larger.module


@pytest.mark.parametrize(
    ("name", "classes", "num_frames", "stride", "sampling"),
    [
        ("timesformer_base", 400, 8, 32, "seconds"),
        ("timesformer_base", 400, 16, 16, "seconds"),  # as TimeSformer-HR
        ("timesformer_base", 174, 8, 1, "segment_middle"),  # Something-Something
        ("videomae_base", 400, 16, 4, "dense_span"),
        ("videomae_base", 174, 16, 1, "segment_integer"),
        ("videomamba_small", 400, 16, 1, "segment_rounded"),
        ("vivit_base", 400, 32, 2, "dense_loop"),
    ],
)
def test_public_weights_are_sampled_and_resized_as_published(name, classes, num_frames, stride, sampling):
    spec = build_model(name, num_classes=classes, num_frames=num_frames).spec
    recipe = published_recipe(name.split("_")[0], spec, classes, pixels=((0.5,) * 3, (0.2,) * 3))
    assert (recipe.num_frames, recipe.stride, recipe.sampling) == (num_frames, stride, sampling)
    assert (recipe.clips, recipe.crops, recipe.image_size, recipe.mean) == (1, 1, 224, (0.5,) * 3)
    assert recipe.interpolation == "bilinear"


@pytest.mark.parametrize(
    ("name", "classes", "num_frames", "channels"),
    [
        ("timesformer_base", 174, 8, "bgr"),
        ("timesformer_base", 400, 8, "rgb"),
        (
            "timesformer_base",
            7,
            64,
            "rgb",
        ),  # sampled like the Something-Something model of 64 frames, but with other classes
        ("videomae_base", 174, 16, "rgb"),
    ],
)
def test_only_timesformer_weights_of_something_something_take_bgr(name, classes, num_frames, channels):
    """The authors' loader reads frames with OpenCV, in BGR order, and never reorders them (datasets/utils.py:36)."""
    spec = build_model(name, num_classes=classes, num_frames=num_frames).spec
    recipe = published_recipe(name.split("_")[0], spec, classes, pixels=((0.5,) * 3, (0.2,) * 3))
    assert recipe.channels == channels


THRESHOLD = dataclasses.replace(SLIDING, windows=dataclasses.replace(SLIDING.windows, threshold=0.3))


@pytest.mark.parametrize(
    ("recipe", "asked", "changed"),
    [
        (WHOLE, {}, {}),
        (WHOLE, {"stride": 2}, {"stride": 2}),
        (WHOLE, {"stride": 0}, {"stride": 1, "sampling": "segment"}),
        (SECONDS, {"stride": 2}, {"stride": 2}),
        (SECONDS, {"stride": 0}, {"stride": 1, "sampling": "segment"}),
        (SPREAD, {"stride": 0}, {}),
        (SPREAD, {"stride": 4}, {"stride": 4, "sampling": "dense"}),
        (TIMED, {"crops": 3}, {"crops": 3}),
        (TIMED, {"stride": 2}, {"stride": 2, "fps": 0.0}),
        (
            TIMED,
            {"window": 3.0},
            {
                "stride": 1,
                "fps": 0.0,
                "sampling": "segment",
                "merge": "mean_softmax",
                "windows": Windows(seconds=3.0, merge="mean", length=3.0),
            },
        ),
        (WHOLE, {"clips": 2, "crops": 1}, {"clips": 2, "crops": 1}),
        (WHOLE, {"merge": "max"}, {"merge": "max"}),
        (WHOLE, {"score": "sigmoid"}, {}),  # sums of logits do not depend on the score
        (WHOLE, {"merge": "mean_softmax", "score": "sigmoid"}, {"merge": "mean_sigmoid"}),
        (
            WHOLE,
            {"every": 2.0},
            {"clips": 1, "merge": "mean_softmax", "windows": Windows(seconds=2.0, merge="mean")},
        ),
        (SLIDING, {"every": 2.0}, {"windows": Windows(seconds=2.0, merge="mean")}),
        (THRESHOLD, {"every": 2.0}, {"windows": Windows(seconds=2.0, merge="mean", threshold=0.3)}),
        (THRESHOLD, {"crops": 3}, {"crops": 3}),
        (SLIDING, {"clips": 7}, {"windows": Windows(count=7, merge="mean")}),
        (SLIDING, {"merge": "max", "score": "sigmoid"}, {"merge": "max_sigmoid", "windows": Windows(seconds=0.5)}),
    ],
)
def test_a_users_changes_affect_nothing_else(recipe, asked, changed):
    assert change_recipe(recipe, RecipeChanges(**asked)) == dataclasses.replace(recipe, **changed)
