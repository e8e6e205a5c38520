"""Configurations and objectives of tiny runs, for run folders written without training."""

import jax
import numpy as np

from vidjax import config as config_lib
from vidjax.tasks import build_objective

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
    "model.unroll": 1,  # compiles faster
    "mesh.fsdp_min_size": 1,
}


def make_config(**changes):
    """The configuration of a run of one step; `changes` are dotted keys with double underscores for dots."""
    config = config_lib.defaults()
    config.update_from_flattened_dict(KEYS | {key.replace("__", "."): value for key, value in changes.items()})
    return config_lib.from_dict(config.to_dict())


def objective_of(**changes):
    """The objective of such a run, and random parameters, none zero or small."""
    config = make_config(**changes)
    objective = build_objective(config, config.data.num_classes)
    shapes = jax.eval_shape(lambda: objective.init(jax.random.key(0), {})[0])
    rng = np.random.default_rng(0)
    return objective, jax.tree.map(lambda leaf: rng.normal(size=leaf.shape, scale=0.1).astype(np.float32), shapes)
