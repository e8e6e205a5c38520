"""Several labels per clip: the loss against PyTorch, the pooling by hand, and parameters that keep their names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidjax import config as config_lib
from vidjax.errors import ConfigError
from vidjax.models import build_model
from vidjax.models.pooling import TokenWeighting
from vidjax.objectives.multi_label import binary_cross_entropy
from vidjax.tasks import build_objective

CLASSES = 6


def objective_of(**changes):
    keys = {"task": "multi_label", "model.name": "timesformer_tiny", "model.dtype": "float32"}
    keys |= {"data.num_frames": 2, "data.image_size": 16, "model.spec.patch_size": 8}
    config = config_lib.defaults()
    config.update_from_flattened_dict(keys | {key.replace("__", "."): value for key, value in changes.items()})
    return build_objective(config_lib.from_dict(config.to_dict()), CLASSES)


def params_of(objective):
    return jax.jit(lambda key: objective.init(key, {})[0])(jax.random.key(0))


def batch_of(rows=4):
    rng = np.random.default_rng(0)
    return {
        "video": rng.integers(0, 256, (rows, 2, 16, 16, 3), dtype=np.uint8),
        "labels": (rng.random((rows, CLASSES)) < 0.3).astype(np.float32),
        "valid": np.ones(rows, bool),
    }


@pytest.mark.parametrize("pos_weight", [1.0, 2.0])
def test_the_loss_matches_pytorch(pos_weight):
    rng = np.random.default_rng(0)
    logits = 20 * rng.normal(size=(8, CLASSES)).astype(np.float32)
    labels = (rng.random((8, CLASSES)) < 0.3).astype(np.float32)
    torch = pytest.importorskip("torch", reason="the oracle is in PyTorch (extra: test)")
    loss = torch.nn.BCEWithLogitsLoss(pos_weight=torch.full((CLASSES,), pos_weight), reduction="none")
    expected = loss(torch.from_numpy(logits), torch.from_numpy(labels)).numpy()
    np.testing.assert_allclose(
        jax.jit(binary_cross_entropy)(logits, labels, pos_weight), expected, rtol=1e-5, atol=1e-6
    )


def test_padding_rows_do_not_count():
    objective, batch = objective_of(optim__pos_weight=2.0), batch_of(6)
    params = params_of(objective)
    loss = jax.jit(lambda batch: objective.loss(params, {}, batch, {}, False)[0])
    padded = batch | {"valid": np.arange(6) < 4}
    expected = np.mean([float(loss({k: v[i : i + 1] for k, v in batch.items()})) for i in range(4)])
    assert float(loss(padded)) == pytest.approx(expected, rel=1e-5)
    assert float(loss(batch)) != pytest.approx(expected, rel=1e-5)


def test_token_weights_are_a_softmax_over_positions():
    tokens = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    weights = np.array([0.0, 1.0, -2.0, 0.5, 3.0], np.float32)
    shares = np.exp(weights) / np.exp(weights).sum()
    pooled = TokenWeighting().apply({"params": {"weights": weights}}, tokens)
    np.testing.assert_allclose(pooled, np.einsum("n,bnd->bd", shares, tokens), rtol=1e-5)
    fresh = TokenWeighting().init(jax.random.key(0), tokens)
    np.testing.assert_allclose(TokenWeighting().apply(fresh, tokens), tokens.mean(axis=1), rtol=1e-5, atol=1e-6)


def test_all_tokens_including_the_class_token_are_pooled_and_the_weights_learn():
    objective, batch = objective_of(model__pooling="weighted_tokens"), batch_of()
    params = params_of(objective)
    out = jax.jit(objective.module.apply)({"params": params}, jnp.asarray(batch["video"], jnp.float32) / 255)
    assert params["token_weighting"]["weights"].shape == (1 + out["tokens"].shape[1],)
    every = np.concatenate([out["cls"][:, None], out["tokens"]], axis=1)
    np.testing.assert_allclose(out["pooled"], every.mean(axis=1), atol=1e-5)
    grads = jax.jit(jax.grad(lambda p: objective.loss(p, {}, batch, {}, False)[0]))(params)
    assert np.abs(grads["token_weighting"]["weights"]).max() > 0


@pytest.mark.parametrize(
    "family",
    [
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("timesformer", "vivit")),
        "videomamba",  # with a class token
        "videomae",  # without
    ],
)
def test_an_encoder_keeps_its_names_under_another_head(family):
    keys = {"model__name": f"{family}_tiny", "model__pooling": "weighted_tokens", "model__head_widths": (7, 5)}
    objective = objective_of(**keys)
    params = jax.eval_shape(lambda: objective.init(jax.random.key(0), {})[0])
    plain = build_model(f"{family}_tiny", num_classes=0, num_frames=2, image_size=16, patch_size=8)
    bare = jax.eval_shape(lambda: plain.init(jax.random.key(0), jnp.zeros((1, 2, 16, 16, 3))))["params"]
    for name, tree in bare.items():
        assert jax.tree.map(jnp.shape, params[name]) == jax.tree.map(jnp.shape, tree)
    assert params["hidden_1"]["kernel"].shape == (7, 5)
    assert params["classes"]["kernel"].shape == (5, CLASSES)


def test_scores_are_logits_under_jit_with_dropout_only_in_training():
    objective, batch = objective_of(model__head_widths=(8,), model__head_dropout=0.5), batch_of()
    params = params_of(objective)
    scores = jax.jit(objective.scores)
    np.testing.assert_array_equal(scores(params, batch["video"]), scores(params, batch["video"]))
    loss = jax.jit(lambda seed: objective.loss(params, {}, batch, {"dropout": jax.random.key(seed)}, True)[0])
    losses = {float(loss(seed)) for seed in range(3)}
    assert len(losses) == 3


def test_options_without_effect_are_refused():
    with pytest.raises(ConfigError, match=r"config.data.mixup=0.4 is for task=classification; .* task=multi_label"):
        objective_of(data__mixup=0.4)
    with pytest.raises(ConfigError, match=r"config.optim.pos_weight=0.0 must be above 0"):
        objective_of(optim__pos_weight=0.0)
