"""preprocessing.json says how to take clips, and is read back as the same recipe."""

import dataclasses
import json

import pytest

from vidjax.data.clips.recipe import ClipRecipe
from vidjax.errors import WeightsError
from vidjax.weights.backbones import load_backbone
from vidjax.weights.preprocessing import describe, parse


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("random:videomae_tiny", num_frames=4, image_size=16)


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ({"stride": 1, "fps": 2.5}, {"stride": 1, "fps": 2.5, "meaning": "4 frames, 2.5 per second"}),
        ({"stride": 3}, {"stride": 3, "fps": None, "meaning": "4 frames (every 3rd frame of the video)"}),
        (
            {"stride": 32, "sampling": "seconds"},
            {"stride": 32, "fps": 30.0, "meaning": "4 frames (every 32nd frame of the video at 30 fps)"},
        ),
    ],
)
def test_a_recipe_survives_its_description(backbone, frames, said):
    recipe = ClipRecipe(num_frames=4, image_size=16, **frames)
    written = json.loads(json.dumps(describe(dataclasses.replace(backbone, clip_recipe=recipe))))
    found = written["frames"]
    assert (found["stride"], found["fps"], found["meaning"].split(";")[0]) == tuple(said.values())
    assert parse(written, "preprocessing.json").recipe == recipe


@pytest.mark.parametrize("fps", [-4, float("nan"), "four"])
def test_an_impossible_rate_is_refused(backbone, fps):
    written = describe(backbone)
    written["frames"]["fps"] = fps
    with pytest.raises(WeightsError, match=r"preprocessing.json is not as this version of vidjax export writes it"):
        parse(written, "preprocessing.json")
