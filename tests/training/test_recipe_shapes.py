"""Every published recipe fits together: its step is traced at full size."""

import re
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from vidjax import config as config_lib
from vidjax.config.official import RECIPES
from vidjax.tasks import build_objective
from vidjax.training.optim import RunLength, build_optimizer
from vidjax.training.state import annotation_shapes, batch_shapes, init_state

CONFIGS = Path(__file__).parents[2] / "configs"
EXPERIMENTS = sorted(recipe.experiment for recipe in RECIPES)
# One recipe of each family is traced in every run of the tests, for time; the others are slow.
FAST = {re.split("[_:]", name)[0]: name for name in EXPERIMENTS}.values()


@pytest.mark.parametrize(
    "experiment", [pytest.param(name, marks=[] if name in FAST else pytest.mark.slow) for name in EXPERIMENTS]
)
def test_the_recipe_traces_at_its_full_size(experiment):
    name, _, size = experiment.partition(":")
    get_config = runpy.run_path(str(CONFIGS / f"{name}.py"))["get_config"]
    config = config_lib.from_dict(get_config(size).to_dict())
    objective = build_objective(config, config.data.num_classes or 1, total_steps=1)
    tx = build_optimizer(config.optim, RunLength(10), global_batch=config.data.global_batch).tx
    state = jax.eval_shape(lambda: init_state(objective, tx, config.data, config.optim.ema, config.seed))
    batch = batch_shapes(config.data)
    batch |= annotation_shapes(config, len(batch["valid"]), config.data.num_classes)
    assert len(batch["valid"]) % max(config.data.mix_group, 1) == 0

    def loss(params, extra, batch):
        rngs = {stream: jax.random.key(0) for stream in ("mask", "dropout", "augment")}
        return objective.loss(params, extra, batch, rngs, True)[0]

    found = jax.eval_shape(jax.grad(loss), state.params, state.extra, batch)
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, state.params)
    assert objective.train_flops_per_clip > 0
