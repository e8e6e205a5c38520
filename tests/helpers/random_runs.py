"""Run folders written without training: random weights, large enough for answers to differ."""

import json

import jax
import numpy as np

from vidjax.config import to_saved
from vidjax.tasks import build_objective
from vidjax.training.checkpoints import Checkpoints
from vidjax.training.state import TrainState
from vidjax.weights.run_files import write_labels


def write_run(folder, config, num_classes, labels=None, scale=0.2):
    """Write a run with one checkpoint."""
    objective = build_objective(config, num_classes)
    shapes = jax.eval_shape(lambda: objective.init(jax.random.key(0), {})[0])
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape, scale=scale).astype(np.float32), shapes)
    folder.mkdir(parents=True)
    checkpoints = Checkpoints(folder)
    checkpoints.save(0, TrainState(np.int32(0), params, {}, {}, {}), {"fingerprint": {"same": {}, "noted": {}}})
    checkpoints.close()
    (folder / "config.json").write_text(json.dumps(to_saved(config)))
    write_labels(folder, labels)
    return folder
