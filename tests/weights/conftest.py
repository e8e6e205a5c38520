"""Fixtures with folders of untrained runs, saved as training saves them; and tests that need the hub are deselected."""

import json

import jax
import numpy as np
import pytest
from saved_runs import make_config, objective_of

from vidjax.config import to_saved
from vidjax.training.checkpoints import Checkpoints
from vidjax.training.state import TrainState


def pytest_collection_modifyitems(config, items):
    """Run tests that download public weights only if `-m` names them."""
    if "hub" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("hub")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def make_run(tmp_path_factory):
    """Save a run of random parameters at step 2; returns the folder."""

    def run(**changes):
        workdir, config = tmp_path_factory.mktemp("run"), make_config(**changes)
        _, params = objective_of(**changes)
        average = jax.tree.map(lambda leaf: 1.5 * leaf, params) if config.optim.ema else {}
        checkpoints = Checkpoints(workdir)
        checkpoints.save(2, TrainState(np.int32(2), params, {}, average, {}), {})
        checkpoints.close()
        (workdir / "config.json").write_text(json.dumps(to_saved(config)))
        return workdir

    return run


@pytest.fixture(scope="session")
def classifier_run(make_run):
    """A classifier of three classes that keeps a moving average, computed in bfloat16."""
    return make_run(optim__ema=0.5, model__dtype="bfloat16")


@pytest.fixture(scope="session")
def pretraining_run(make_run):
    """A masked autoencoder."""
    return make_run(task="masked_autoencoding", model__mask_ratio=0.5)
