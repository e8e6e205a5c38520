"""Training with LoRA: one step against the equations by hand, what learns and what stays, meshes and micro-batches."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_steps
import toy
from small_steps import CLASSES, batch_of

from vidjax.config import LoraConfig, MeshConfig
from vidjax.errors import ConfigError
from vidjax.models.param_paths import flatten
from vidjax.objectives import Objective
from vidjax.objectives.base import Part
from vidjax.tasks import build_objective
from vidjax.training.choices.announce import trained_sentences
from vidjax.training.mesh import batch_sharding, global_batch, make_mesh
from vidjax.training.optim import RunLength
from vidjax.training.run_step import build_step
from vidjax.training.state import init_state

KEYS = {
    "model.name": "videomae_tiny", "model.lora.rank": 4, "optim.base_lr": 0.1, "optim.min_lr": 0.1,
}  # fmt: skip
SGD = {"optim.name": "sgd", "optim.momentum": 0.0, "optim.weight_decay": 0.0}
config_of = functools.partial(small_steps.config_of, KEYS)


class Trained:
    """The state of a configuration before and after some steps on one device or a mesh.

    Attributes:
      before, after: states on the host; metrics: of each step.
    """

    def __init__(self, config, steps=2, objective=None, devices=1, batch=batch_of):
        objective = objective or build_objective(config, CLASSES)
        mesh = make_mesh(config.mesh, jax.devices()[:devices])
        with jax.set_mesh(mesh):
            self.step = step = build_step(config, objective, RunLength(steps), mesh)
            places = jax.tree.map(lambda leaf: leaf.sharding, step.shapes)
            init = jax.jit(
                lambda: init_state(objective, step.optimizer.tx, config.data, config.optim.ema, 0), out_shardings=places
            )
            state = init()
            self.before, self.metrics = jax.device_get(state), []
            for number in range(steps):
                state, metrics = step.call(state, global_batch(batch(number), batch_sharding(mesh)))
                self.metrics.append(jax.device_get(metrics))
            self.after = jax.device_get(state)


class Linear(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(1, use_bias=False, name="weights")(x)[:, 0]


@dataclasses.dataclass(frozen=True)
class Regression(Objective):
    """Least squares from the 24 values of a clip, with W frozen and adapted."""

    module: nn.Module = dataclasses.field(default_factory=Linear)
    train_flops_per_clip: float = 1.0
    parts: tuple[Part, ...] = (Part("", None),)
    frozen = "^weights/"
    lora = LoraConfig(1, 3.0, ("weights",))

    def init(self, rng, batch):
        return self.module.init(rng, batch["video"].reshape(-1, 24) / 255)["params"], {}

    def loss(self, params, extra, batch, rngs, train):
        answer = self.module.apply({"params": params}, batch["video"].reshape(-1, 24) / 255)
        return jnp.mean(jnp.square(answer - batch["label"])), ({}, extra)


def test_the_steps_of_a_linear_regression_are_those_by_hand():
    """y = x (W + alpha / r A B), with r = 1: dA = alpha dW B^T and dB = alpha A^T dW, in float64."""
    lr, decay, alpha = 0.05, 0.1, 3.0
    changes = {"optim__name": "sgd", "optim__momentum": 0.0, "optim__weight_decay": decay, "optim__decayed": "all"}
    changes |= {"optim__base_lr": lr, "optim__min_lr": lr, "optim__reference_batch": 16, "optim__warmup_steps": 0}
    config = toy.toy_config(**changes)
    batches = [next(toy.ToyBatches(toy.ToySource(), config.data, seed=0, start_step=step)) for step in range(3)]
    found = Trained(config, 3, Regression(), batch=lambda step: dict(batches[step]))
    W = np.float64(found.before.params["weights"]["kernel"])
    A, B = (np.float64(found.before.params["lora"]["weights"][name]) for name in "AB")
    assert not B.any()
    for batch, metrics in zip(batches, found.metrics, strict=True):
        x = batch["video"].reshape(-1, 24) / 255
        error = x @ (W + alpha * A @ B) - batch["label"][:, None]
        gradient = 2 * x.T @ error / len(x)
        of_A, of_B = alpha * gradient @ B.T, alpha * A.T @ gradient
        assert metrics["train/loss"] == pytest.approx(np.square(error).mean(), rel=1e-5)
        norm = np.sqrt(np.square(of_A).sum() + np.square(of_B).sum())
        assert metrics["train/grad_norm"] == pytest.approx(norm, rel=1e-5)
        A, B = A - lr * (of_A + decay * A), B - lr * (of_B + decay * B)
    terms = found.after.params["lora"]["weights"]
    np.testing.assert_allclose(terms["A"], A, rtol=1e-4, atol=1e-6)  # three steps in float32
    np.testing.assert_allclose(terms["B"], B, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found.after.params["weights"]["kernel"], np.float32(W))


def test_the_head_and_the_terms_learn_and_the_base_stays_identical_to_the_bit():
    changes = {"optim__layer_decay": 0.5, "optim__clip_norm": 1.0, "optim__ema": 0.7}
    found = Trained(config_of(optim__weight_decay=0.3, **changes))
    before, after = flatten(found.before.params), flatten(found.after.params)
    moved = {path for path in before if not np.array_equal(before[path], after[path])}
    terms = {f"lora/encoder/blocks/attn/{part}/{of}" for part in ("query", "value") for of in "AB"}
    assert moved == terms | {"head/kernel", "head/bias"}
    average = flatten(found.after.ema)
    assert {path for path in before if not np.array_equal(before[path], average[path])} == moved
    moments = sum(leaf.size for leaf in jax.tree.leaves(found.after.opt_state) if leaf.ndim)
    assert moments == 2 * sum(after[path].size for path in moved)
    assert found.step.call._cache_size() == 1


def test_layer_decay_gives_the_terms_of_each_layer_their_layers_factor():
    slow, fast = (Trained(config_of(**_keys(SGD), optim__layer_decay=decay), 1) for decay in (0.5, 1.0))
    path = "lora/encoder/blocks/attn/query/B"
    slow, fast = (flatten(of.after.params)[path] - flatten(of.before.params)[path] for of in (slow, fast))
    assert fast.any()
    factors = 0.5 ** (4 - np.arange(4)).reshape(4, 1, 1)  # block i has id i + 1 of L + 1 = 5
    np.testing.assert_allclose(slow, factors * fast, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("mesh", [MeshConfig(2, 2, 2, fsdp_min_size=1), MeshConfig(4, 1, 1)])
def test_a_mesh_trains_the_same_terms(mesh):
    one = Trained(config_of(**_keys(SGD)))
    other = Trained(
        dataclasses.replace(config_of(**_keys(SGD)), mesh=mesh), devices=mesh.data * mesh.fsdp * mesh.tensor
    )
    assert one.metrics[-1]["train/loss"] == pytest.approx(other.metrics[-1]["train/loss"], rel=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), one.after.params, other.after.params
    )
    assert other.step.call._cache_size() == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"train__accumulate": 2},
        {"optim__clip_group": 4, "optim__clip_norm": 1e9},
        {"train__accumulate": 2, "task": "least_squares"},
    ],
)
def test_micro_batches_and_groups_have_the_gradient_of_the_batch(changes):
    task = {"task": changes.get("task", "classification")}
    whole, parts = (Trained(config_of(**_keys(SGD), **task | of), 2) for of in ({}, changes))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), whole.after.params, parts.after.params
    )


def test_concordance_over_the_batch_trains_terms_too():
    whole, parts = (Trained(config_of(**_keys(SGD), task="regression", train__accumulate=parts), 2) for parts in (1, 2))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), whole.after.params, parts.after.params
    )
    assert np.any(whole.after.params["lora"]["encoder"]["blocks"]["attn"]["query"]["B"])


def test_the_sentence_before_the_first_step_counts_what_is_trained():
    config = config_of()
    found = Trained(config, 0)
    sentence, warning = trained_sentences(config, found.step)
    trained = sum(
        leaf.size for path, leaf in flatten(found.before.params).items() if path.startswith(("lora/", "head/"))
    )
    whole = sum(leaf.size for leaf in jax.tree.leaves(found.before.params))
    assert f"trained: {trained:,} of {whole:,} parameters" in sentence
    assert "LoRA of rank 4, alpha 16, on encoder/blocks/attn/query, encoder/blocks/attn/value" in sentence
    assert "random weights" in warning
    frozen = config_of(model__lora__rank=0, model__freeze_backbone=True)
    (sentence,) = trained_sentences(frozen, Trained(frozen, 0).step)
    assert "LoRA" not in sentence


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model__freeze_backbone": True}, "set the first to False or the second to 0"),
        ({"task": "masked_autoencoding", "model__name": "videomae_tiny"}, "set it to 0 for task=masked_autoencoding"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        build_objective(config_of(**changes), CLASSES)


def _keys(keys):
    return {key.replace(".", "__"): value for key, value in keys.items()}
