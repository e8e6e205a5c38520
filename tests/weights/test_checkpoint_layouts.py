"""The layout of a file is found by its keys."""

import pytest

from vidjax.errors import WeightsError
from vidjax.weights.checkpoint_layouts import recognise

KEYS = ("vivit.embeddings.cls_token", "timesformer.embeddings.cls_token")


def test_a_file_of_two_possible_layouts_asks_for_its_config():
    with pytest.raises(
        WeightsError, match=r"x\.bin could be .*TimeSformer.*; put the model's config.json, .* beside it"
    ):
        recognise(KEYS, None, "x.bin")
    assert recognise(KEYS, {"model_type": "vivit"}, "x.bin").name == "ViViT, transformers"
