"""The jitted step: micro-batches, the guard against non-finite values, the moving average, any mesh."""

import functools

import jax
import numpy as np
import optax
import pytest
import toy
from compilations import compilations
from jax.example_libraries.optimizers import clip_grads

from vidjax.config import MeshConfig
from vidjax.training import mesh as mesh_lib
from vidjax.training.optim import RunLength, build_optimizer
from vidjax.training.state import init_state, state_shapes
from vidjax.training.step import make_train_step


class Setup:
    """A step and a state on a mesh, and the batches of the toy loader."""

    def __init__(self, objective=None, mesh=None, devices=None, **changes):
        self.config, self.objective = toy.toy_config(**changes), objective or toy.ToyObjective()
        self.mesh = mesh_lib.make_mesh(mesh or MeshConfig(), devices or jax.devices()[:2])
        optim = self.config.optim
        self.optimizer = optimizer = build_optimizer(optim, RunLength(8), global_batch=16)
        shapes = state_shapes(self.config, self.objective, optimizer.tx, self.mesh)
        shardings = jax.tree.map(lambda leaf: leaf.sharding, shapes)
        init = functools.partial(init_state, self.objective, optimizer.tx, self.config.data, optim.ema, 0)
        self._init = jax.jit(init, out_shardings=shardings)
        options = {"accumulate": self.config.train.accumulate, "ema": optim.ema, "shapes": shapes}
        self.step = make_train_step(self.objective, optimizer, seed=0, **options)
        self.restart()

    def restart(self):
        """Go back to the first step."""
        self.state, self.batches = self._init(), toy.ToyBatches(toy.ToySource(), self.config.data, seed=0)

    def run(self, steps, **changed):
        """Run some steps, on batches with optional changes, and return their metrics; the state advances."""
        numbers = []
        for _ in range(steps):
            batch = mesh_lib.global_batch(next(self.batches) | changed, mesh_lib.batch_sharding(self.mesh))
            self.state, metrics = self.step(self.state, batch)
            numbers.append(toy.first_of(metrics))
        return numbers


def losses(numbers):
    return [float(metrics["train/loss"]) for metrics in numbers]


def assert_close(one, other, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), toy.first_of(one), toy.first_of(other))


def assert_same(one, other):
    jax.tree.map(np.testing.assert_array_equal, toy.first_of(one), toy.first_of(other))


def test_micro_batches_add_up_to_the_big_batch():
    whole = Setup(toy.ToyObjective(noise=False))
    parts = Setup(toy.ToyObjective(noise=False), train__accumulate=2)
    np.testing.assert_allclose(losses(whole.run(4)), losses(parts.run(4)), rtol=1e-5)
    assert_close(whole.state.params, parts.state.params, rtol=1e-4, atol=1e-6)
    assert int(parts.state.extra["batches"]) == 8  # the objective's own state passed through every micro-batch


def test_a_micro_batch_counts_as_much_as_it_has_valid_rows():
    valid = np.arange(16) % 2 == np.repeat([1, 0], 8)
    valid[0] = True  # the first micro-batch has one of 9 valid rows
    whole = Setup(toy.ToyObjective(noise=False))
    parts = Setup(toy.ToyObjective(noise=False), train__accumulate=2)
    np.testing.assert_allclose(losses(whole.run(2, valid=valid)), losses(parts.run(2, valid=valid)), rtol=1e-5)
    assert_close(whole.state.params, parts.state.params, rtol=1e-4, atol=1e-6)


class Draws(toy.ToyObjective):
    """Returns the first random number of each stream, and its square, as metrics."""

    def loss(self, params, extra, batch, rngs, train):
        loss, (_, extra) = super().loss(params, extra, batch, rngs, train)
        draws = {name: jax.random.uniform(key) for name, key in rngs.items()}
        return loss, (draws | {f"{name}_squared": draw**2 for name, draw in draws.items()}, extra)


def test_random_numbers_differ_by_step_and_stream_and_dropout_also_by_micro_batch():
    numbers = Setup(Draws(), train__accumulate=2).run(2)
    streams = [float(step[f"train/{name}"]) for step in numbers for name in ("mask", "dropout", "augment")]
    assert len(set(streams)) == 6
    spread = {
        name: numbers[0][f"train/{name}_squared"] - numbers[0][f"train/{name}"] ** 2 for name in ("mask", "dropout")
    }
    assert spread["dropout"] > 1e-4  # the two micro-batches differ
    assert spread["mask"] == pytest.approx(0, abs=1e-6)  # rows fold in their position
    again = Setup(Draws(), train__accumulate=2).run(2)
    assert [float(step["train/mask"]) for step in again] == [float(step["train/mask"]) for step in numbers]


@pytest.mark.parametrize(
    ("mesh", "devices"), [(MeshConfig(), 1), (MeshConfig(), 4), (MeshConfig(data=1, fsdp=2, tensor=2), 4)]
)
def test_each_group_is_clipped_before_gradients_are_averaged_as_on_the_devices_of_scenic(mesh, devices):
    """vivit/train_utils.py:158 calls JAX's `clip_grads` on each device, then takes the mean over devices."""
    keys = {"optim__name": "sgd", "optim__momentum": 0.0, "optim__weight_decay": 0.0}
    setup = Setup(
        toy.ToyObjective(noise=False), mesh, jax.devices()[:devices], **keys, optim__clip_group=4, optim__clip_norm=36.0
    )
    setup.run(1)
    before, batches = toy.first_of(setup.state.params), toy.ToyBatches(toy.ToySource(), setup.config.data, seed=0)
    (_, batch), (numbers,) = (next(batches), next(batches)), setup.run(1)
    grad = jax.grad(
        lambda params, rows: setup.objective.loss(params, {"batches": 0}, rows, {"dropout": jax.random.key(0)}, True)[0]
    )
    devices = [{name: value[first : first + 4] for name, value in batch.items()} for first in range(0, 16, 4)]
    theirs = [grad(before, rows) for rows in devices]
    norms = [optax.tree.norm(tree) for tree in theirs]
    assert min(norms) < 36 < max(norms)
    mean = jax.tree.map(lambda *leaves: sum(leaves) / 4, *(clip_grads(tree, 36.0) for tree in theirs))
    lr = float(numbers["train/lr"])
    assert_close(setup.state.params, jax.tree.map(lambda p, g: p - lr * g, before, mean), rtol=1e-5, atol=1e-6)
    assert numbers["train/grad_norm"] == pytest.approx(float(optax.tree.norm(mean)), rel=1e-5)


@pytest.fixture(scope="module")
def compiled():
    """Plain SGD with a moving average; the third batch's loss is not finite."""
    return Setup(
        toy.ToyObjective(poison=(2,)), optim__name="sgd", optim__momentum=0.0, optim__weight_decay=0.0, optim__ema=0.75
    )


@pytest.fixture
def setup(compiled):
    compiled.restart()
    return compiled


def test_a_step_that_is_not_finite_changes_nothing_but_the_step(setup):
    setup.run(2)
    before = toy.first_of(setup.state)
    (bad,) = setup.run(1)
    assert bad["train/nonfinite"]
    assert bad["train/update_norm"] == 0
    assert int(setup.state.step) == 3
    assert_same(setup.state._replace(step=before.step), before)
    (good,) = setup.run(1)
    assert not good["train/nonfinite"]
    assert np.isfinite(good["train/loss"])
    assert not np.array_equal(setup.state.params["head"]["kernel"], before.params["head"]["kernel"])


def test_a_gradient_that_is_not_finite_counts_even_if_the_loss_is_finite():
    class Cliff(toy.ToyObjective):
        def loss(self, params, extra, batch, rngs, train):
            loss, rest = super().loss(params, extra, batch, rngs, train)
            zero = params["head"]["bias"].sum() * 0.0
            return loss + jax.numpy.sqrt(zero), rest  # sqrt is 0 at 0, but its slope is infinite

    (numbers,) = Setup(Cliff()).run(1)
    assert np.isfinite(numbers["train/loss"])
    assert numbers["train/nonfinite"]


def test_the_moving_average_follows_its_recursion(setup):
    average = toy.first_of(setup.state.params)
    for _ in range(2):
        setup.run(1)
        average = jax.tree.map(lambda a, p: 0.75 * a + 0.25 * p, average, toy.first_of(setup.state.params))
    assert_close(setup.state.ema, average, rtol=1e-5, atol=1e-7)


def test_the_learning_rate_is_that_of_the_step_even_after_a_skipped_one(setup):
    found = [float(numbers["train/lr"]) for numbers in setup.run(5)]
    np.testing.assert_allclose(found, [setup.optimizer.schedule(step) for step in range(5)], rtol=1e-6)


def test_the_norms_are_of_the_gradient_and_of_the_change(setup):
    before = toy.first_of(setup.state.params)
    (numbers,) = setup.run(1)
    change = jax.tree.map(lambda a, b: a - b, toy.first_of(setup.state.params), before)
    norm = np.sqrt(sum(np.square(leaf, dtype=np.float64).sum() for leaf in jax.tree.leaves(change)))
    np.testing.assert_allclose(numbers["train/update_norm"], norm, rtol=1e-4)
    np.testing.assert_allclose(numbers["train/grad_norm"] * numbers["train/lr"], norm, rtol=1e-4)


def test_the_objective_is_called_after_every_update(setup):
    setup.run(4)
    assert int(setup.state.extra["updates"]) == 3


def test_the_step_compiles_once():
    fresh = Setup()
    with compilations() as compiled:
        fresh.run(4)
    assert compiled.count("jit(step)") == 1


@pytest.mark.parametrize(
    "mesh",
    [MeshConfig(data=1, fsdp=8), MeshConfig(data=2, fsdp=2, tensor=2)],
    ids=lambda mesh: f"{mesh.data}x{mesh.fsdp}x{mesh.tensor}",
)
def test_any_mesh_trains_like_one_device(mesh):
    one = Setup(devices=jax.devices()[:1])
    other = Setup(mesh=mesh, devices=jax.devices())
    assert {leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(other.state.params)} == {True, False}
    np.testing.assert_allclose(losses(one.run(4)), losses(other.run(4)), rtol=1e-4)
    assert_close(one.state.params, other.state.params, rtol=1e-3, atol=1e-5)
