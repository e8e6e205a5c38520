"""Every published recipe fits together: its step is traced at full size."""

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
FIRST = {  # traced in every run of the tests; the others are slow
    ("videomamba_pretrain", "middle"), ("videomamba_k400", "ti_384"), ("videomamba_ssv2", "small_288"),
    ("videomamba_breakfast", "small_f64"), ("videomamba_coin", "ti"), ("finetune_k400", "base_800"),
    ("finetune_ssv2", "giant"), ("finetune_k600", "giant"), ("finetune_hmdb51", "giant"), ("finetune_ucf101", "giant"),
    ("timesformer_k400", "space_only"), ("timesformer_ssv2", "base"), ("vivit_k600", "large_fe"),
    ("vivit_epic_kitchens", "large_fe"), ("svt_linear", "ucf101"), ("svt_finetune", "ssv2"),
    ("videomamba_lvu", "director"), ("videomamba_lvu", "like_ratio"),
}  # fmt: skip


def recipes():
    for experiment in sorted(recipe.experiment for recipe in RECIPES):
        name, _, size = experiment.partition(":")
        yield pytest.param(name, size, marks=[] if (name, size) in FIRST else [pytest.mark.slow], id=experiment)


@pytest.mark.parametrize(("name", "size"), list(recipes()))
def test_the_recipe_traces_at_its_full_size(name, size):
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
