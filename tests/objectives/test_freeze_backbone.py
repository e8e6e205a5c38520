"""model.freeze_backbone: the head learns as logistic regression on evaluation's features, and nothing else changes."""

import functools

import jax
import numpy as np
import pytest
import small_steps
from small_steps import CLASSES, ROWS, batch_of

from vidjax.config import MeshConfig
from vidjax.errors import ConfigError
from vidjax.models.outputs import outputs
from vidjax.tasks import build_objective
from vidjax.training.mesh import batch_sharding, global_batch, make_mesh
from vidjax.training.optim import RunLength
from vidjax.training.run_step import build_step
from vidjax.training.state import init_state

STEPS, LR, MOMENTUM, DECAY = 3, 0.5, 0.9, 0.1
KEYS = {
    "model.name": "timesformer_tiny", "model.drop_path": 0.5, "model.freeze_backbone": True,
    "optim.name": "sgd", "optim.base_lr": LR, "optim.min_lr": LR, "optim.momentum": MOMENTUM,
    "optim.weight_decay": DECAY, "optim.decayed": "all",
}  # fmt: skip
config_of = functools.partial(small_steps.config_of, KEYS)


def trained(config):
    """Parameters before and after some steps."""
    objective, mesh = build_objective(config, CLASSES), make_mesh(MeshConfig(), jax.devices()[:1])
    with jax.set_mesh(mesh):
        step = build_step(config, objective, RunLength(STEPS), mesh)
        state = jax.jit(lambda: init_state(objective, step.optimizer.tx, config.data, 0.0, 0))()
        before = jax.device_get(state.params)
        for number in range(STEPS):
            state, _ = step.call(state, global_batch(batch_of(number), batch_sharding(mesh)))
    return objective, before, jax.device_get(state.params)


def test_the_head_learns_as_logistic_regression_and_the_backbone_stays_identical_to_the_bit():
    objective, before, after = trained(config_of())
    for name in set(before) - {"head"}:
        jax.tree.map(np.testing.assert_array_equal, after[name], before[name])
    kernel, bias = np.float64(before["head"]["kernel"]), np.float64(before["head"]["bias"])
    speeds = [np.zeros_like(kernel), np.zeros_like(bias)]
    evaluated = jax.jit(lambda video: outputs(objective.module, before, objective.normalized(video))["pooled"])
    for number in range(STEPS):
        batch = batch_of(number)
        features = np.float64(evaluated(batch["video"]))
        odds = np.exp(features @ kernel + bias)
        error = (odds / odds.sum(axis=1, keepdims=True) - np.eye(CLASSES)[batch["label"]]) / ROWS
        gradients = (features.T @ error + DECAY * kernel, error.sum(axis=0) + DECAY * bias)
        speeds = [MOMENTUM * speed + gradient for speed, gradient in zip(speeds, gradients, strict=True)]
        kernel, bias = kernel - LR * speeds[0], bias - LR * speeds[1]
    np.testing.assert_allclose(after["head"]["kernel"], kernel, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after["head"]["bias"], bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("pooling", "part"),
    [("weighted_tokens", "token_weighting"), pytest.param("attentive4", "pooler", marks=pytest.mark.slow)],
)
def test_a_deeper_head_with_another_pooling_is_trained_as_a_whole(pooling, part):
    _, before, after = trained(config_of(model__pooling=pooling, model__head_widths=(4,)))
    flat = [
        {name: jax.flatten_util.ravel_pytree(tree)[0] for name, tree in params.items()} for params in (before, after)
    ]
    moved = {name for name in before if not np.array_equal(flat[0][name], flat[1][name])}
    assert moved == {part, "hidden_0", "classes"}


def test_a_frozen_backbone_costs_a_third():
    frozen, whole = (build_objective(config_of(model__freeze_backbone=on), CLASSES) for on in (True, False))
    assert 3 * frozen.train_flops_per_clip == whole.train_flops_per_clip


def test_a_task_without_a_head_refuses_a_frozen_backbone():
    with pytest.raises(ConfigError, match="set it to False for task=masked_autoencoding"):
        build_objective(config_of(task="masked_autoencoding", model__name="videomae_tiny"), 0)
