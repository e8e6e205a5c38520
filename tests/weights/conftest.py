"""Folders of runs, saved as training saves them, without the training."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from vidjax import config as config_lib
from vidjax.objectives import build_objective
from vidjax.training.checkpoints import Checkpoints
from vidjax.training.state import TrainState

KEYS = {
    "task": "classification",
    "model.name": "videomae_tiny",
    "data.name": "synthetic",
    "data.num_classes": 3,
    "data.num_frames": 4,
    "data.image_size": 16,
    "data.global_batch": 8,
    "data.crop": "center",
    "data.mean": (0.4, 0.5, 0.6),
    "eval.clips": 1,
    "eval.crops": 1,
    "eval.batch": 128,
    "eval.merge": "sum_logits",
    "train.steps": 1,
    "mesh.fsdp_min_size": 1,
}


def make_config(**changes):
    """A run of one step; `changes` are dotted keys with the dots as double underscores."""
    config = config_lib.defaults()
    config.update_from_flattened_dict(KEYS | {key.replace("__", "."): value for key, value in changes.items()})
    return config_lib.from_dict(config.to_dict())


def objective_of(**changes):
    """What such a run learns, and random parameters, none zero or small."""
    config = make_config(**changes)
    objective = build_objective(config, config.data.num_classes)
    shapes = jax.eval_shape(lambda: objective.init(jax.random.key(0), {})[0])
    rng = np.random.default_rng(0)
    return objective, jax.tree.map(lambda leaf: rng.normal(size=leaf.shape, scale=0.1).astype(np.float32), shapes)


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
        (workdir / "config.json").write_text(json.dumps(dataclasses.asdict(config)))
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
