"""1 - CCC over the whole batch: against NumPy, over eight devices, and in micro-batches."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidjax import config as config_lib
from vidjax.config import MeshConfig
from vidjax.errors import ConfigError
from vidjax.models.spec import ClipSpec
from vidjax.models.timesformer import TimeSformerSpec
from vidjax.objectives.regression import Regression, concordance, merge, moments
from vidjax.tasks import build_objective
from vidjax.training import mesh as mesh_lib
from vidjax.training.optim import RunLength, build_optimizer
from vidjax.training.state import init_state, state_shapes
from vidjax.training.step import make_train_step

ROWS, TARGETS = 32, 2
SPEC = TimeSformerSpec(8, 1, 1, 8, patch_size=2, tubelet_size=2, num_frames=2, image_size=2)


class Linear(nn.Module):
    """Predicts two numbers from the pixels of a clip, with dropout in training."""

    spec: ClipSpec = SPEC
    num_classes: int = TARGETS
    dropout: float = 0.0

    @nn.compact
    def __call__(self, clips, train=False):
        x = nn.Dropout(self.dropout)(clips.reshape(len(clips), -1), deterministic=not train)
        return {"logits": nn.Dense(self.num_classes, name="head")(x)}


def batch_of(seed=0, rows=ROWS):
    rng = np.random.default_rng(seed)
    video = rng.integers(0, 256, (rows, 2, 2, 2, 3), dtype=np.uint8)
    target = np.tanh(rng.normal(size=(rows, TARGETS)) + video[:, 0, 0, 0, :2] / 128 - 1).astype(np.float32)
    return {"video": video, "target": target, "valid": np.ones(rows, bool)}


def lin(prediction, target):
    """The coefficient in float64, as written in Lin's paper."""
    prediction, target = prediction.astype(np.float64), target.astype(np.float64)
    covariance = np.mean((prediction - prediction.mean()) * (target - target.mean()))
    return 2 * covariance / (prediction.var() + target.var() + (prediction.mean() - target.mean()) ** 2)


def loss_in_numpy(params, batch):
    """Forward pass and loss over the whole batch, independent of the objective's code."""
    pixels = (batch["video"].astype(np.float64) / 255 - 0.5) / 0.25
    head = jax.tree.map(np.asarray, params["head"])
    predictions = np.tanh(pixels.reshape(len(pixels), -1) @ head["kernel"] + head["bias"])
    rows = batch["valid"]
    return 1 - np.mean([lin(predictions[rows, k], batch["target"][rows, k]) for k in range(TARGETS)])


def objective_of(**options):
    return Regression(Linear(**options), (0.5,) * 3, (0.25,) * 3)


def step_of(objective, mesh, accumulate, batch):
    """Loss and parameters after one step of plain gradient descent."""
    keys = {"optim.name": "sgd", "optim.base_lr": 0.5, "optim.reference_batch": ROWS, "optim.weight_decay": 0.0}
    config = config_lib.defaults()
    config.update_from_flattened_dict(keys | {"data.num_frames": 2, "data.image_size": 2, "mesh.fsdp_min_size": 1})
    config = config_lib.from_dict(config.to_dict())
    config = dataclasses.replace(config, optim=dataclasses.replace(config.optim, momentum=0.0))
    optimizer = build_optimizer(config.optim, RunLength(10), global_batch=ROWS)
    with jax.set_mesh(mesh):
        shapes = state_shapes(config, objective, optimizer.tx, mesh)
        state = jax.jit(
            lambda: init_state(objective, optimizer.tx, config.data, 0.0, 0),
            out_shardings=jax.tree.map(lambda leaf: leaf.sharding, shapes),
        )()
        before = jax.tree.map(np.asarray, state.params)
        step = make_train_step(objective, optimizer, seed=0, accumulate=accumulate, shapes=shapes)
        state, metrics = step(state, mesh_lib.global_batch(batch, mesh_lib.batch_sharding(mesh)))
    return float(metrics["train/loss"]), before, jax.tree.map(np.asarray, state.params)


@pytest.mark.parametrize("axes", [{}, {"data": 8}, {"data": 2, "fsdp": 4}, {"data": 4, "tensor": 2}])
def test_the_loss_matches_the_whole_batch_on_any_mesh(axes):
    batch = batch_of() | {"valid": np.arange(ROWS) != 5}
    devices = jax.devices()[: int(np.prod(list(axes.values()) or [1]))]
    mesh = mesh_lib.make_mesh(MeshConfig(**axes), devices)
    loss, before, _ = step_of(objective_of(), mesh, 1, batch)
    assert loss == pytest.approx(loss_in_numpy(before, batch), rel=1e-5)


@pytest.mark.parametrize("axes", [{}, {"data": 4}])
def test_micro_batches_give_the_loss_and_the_step_of_the_whole_batch(axes):
    batch = batch_of()
    devices = jax.devices()[: int(np.prod(list(axes.values()) or [1]))]
    mesh = mesh_lib.make_mesh(MeshConfig(**axes), devices)
    whole, before, after = step_of(objective_of(), mesh, 1, batch)
    parts, _, after_parts = step_of(objective_of(), mesh, 4, batch)
    assert parts == pytest.approx(whole, rel=1e-6)
    moved = np.abs(after["head"]["kernel"] - before["head"]["kernel"]).max()
    assert moved > 1e-3
    for name in ("kernel", "bias"):
        np.testing.assert_allclose(after_parts["head"][name], after["head"][name], atol=1e-5 * moved)


def test_both_passes_over_micro_batches_use_the_same_dropout():
    """If they differed, the gradient would not be that of the reported loss."""
    batch, mesh = batch_of(), mesh_lib.make_mesh(MeshConfig(), jax.devices()[:1])
    objective = objective_of(dropout=0.5)
    loss, before, after = step_of(objective, mesh, 4, batch)

    def by_hand(params):
        key, parts = jax.random.fold_in(jax.random.key(0), 0), []
        for number in range(4):
            rngs = {"dropout": jax.random.fold_in(jax.random.fold_in(key, 1), number)}
            own = [row for row in range(ROWS) if min(row, ROWS - 1 - row) % 4 == number]
            parts.append(objective.statistics(params, {k: v[np.array(own)] for k, v in batch.items()}, rngs, True))
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)
        return objective.loss_from(stacked)[0]

    expected, grads = jax.value_and_grad(by_hand)(before)
    assert loss == pytest.approx(float(expected), rel=1e-6)
    direction = (before["head"]["kernel"] - after["head"]["kernel"]).ravel()
    wanted = np.asarray(grads["head"]["kernel"]).ravel()
    assert np.dot(direction, wanted) / np.linalg.norm(direction) / np.linalg.norm(wanted) == pytest.approx(1, abs=1e-6)


def test_merged_moments_match_the_whole_batch():
    rng = np.random.default_rng(0)
    predictions, targets = rng.normal(3.0, 0.01, (24, TARGETS)), rng.normal(3.0, 0.01, (24, TARGETS))
    predictions, targets = (values.astype(np.float32) for values in (predictions, targets))
    valid = np.arange(24) % 5 != 0
    parts = [moments(predictions[part], targets[part], valid[part]) for part in (slice(3), slice(3, 7), slice(7, 24))]
    merged = merge(jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts))
    expected = [lin(predictions[valid, k], targets[valid, k]) for k in range(TARGETS)]
    np.testing.assert_allclose(concordance(merged), expected, rtol=1e-3)


def test_a_batch_of_one_value_has_a_finite_loss_and_gradient():
    batch = batch_of() | {"target": np.zeros((ROWS, TARGETS), np.float32)}
    objective = objective_of()
    shapes, _ = jax.eval_shape(lambda: objective.init(jax.random.key(0), {}))
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    loss, grads = jax.jit(jax.value_and_grad(lambda p: objective.loss(p, {}, batch, {}, False)[0]))(zeros)
    assert loss == 1.0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


def test_predictions_lie_between_minus_one_and_one_and_options_of_classifiers_are_refused():
    keys = {"task": "regression", "model.name": "videomae_tiny", "data.num_frames": 4, "data.image_size": 16}
    config = config_lib.defaults()
    config.update_from_flattened_dict(keys)
    objective = build_objective(config_lib.from_dict(config.to_dict()), 2)
    params, _ = jax.jit(lambda key: objective.init(key, {}))(jax.random.key(0))
    scores = jax.jit(objective.scores)(jax.tree.map(lambda p: 50 * p, params), np.zeros((3, 4, 16, 16, 3), np.uint8))
    assert scores.shape == (3, 2)
    assert np.abs(scores).max() <= 1
    config.data.mixup = 0.4
    with pytest.raises(ConfigError, match=r"config.data.mixup=0.4 is for task=classification; set it to 0"):
        build_objective(config_lib.from_dict(config.to_dict()), 2)
