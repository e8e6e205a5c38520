"""Feature prediction learns motion: the comparison of `scripts/pretraining_motion.py`, shortened."""

import importlib.util
import json
import pathlib

import pytest
from shipped import read

from vidjax.training import loop

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "pretraining_motion.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("pretraining_motion", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_linear_probe_reads_more_motion_than_from_random_weights(script, tmp_path):
    run = tmp_path / "vjepa"
    loop.train(read("motion_vjepa", "", train__steps=450, train__checkpoint_every=450), run)
    trained, random = script.compare(run, seed=0)
    print(json.dumps([trained, random]))
    assert trained["motion"] > random["motion"] + 0.1  # the standard error of a difference of two such shares is 0.03
    assert trained["rank"] > 2
