"""Clips, decays and late starts against PyTorch's optimisers and DINO's formulas."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vidjax.config import OptimConfig
from vidjax.training import optim
from vidjax.training.gradient_transforms import clip_each, start_late


def gradients():
    rng = np.random.default_rng(0)

    def leaf(*shape, scale=1.0):
        return (scale * rng.normal(size=shape)).astype(np.float32)

    blocks = {
        "attn": {"qkv": {"kernel": leaf(2, 4, 3, 2, 2), **{f"{part}_bias": leaf(2, 2, 2) for part in "qkv"}}},
        "norm1": {"scale": leaf(2, 4, scale=0.01)},
    }
    blocks["norm1"]["scale"][1] *= 1e4
    return {"encoder": {"blocks": blocks}, "head": {"kernel": leaf(4, 5), "bias": leaf(5, scale=0.1)}}


def test_each_parameter_is_clipped_by_its_own_norm_as_pytorch_counts_parameters():
    grads = gradients()
    clipped, _ = jax.jit(clip_each(1.5).update)(grads, optax.EmptyState())
    qkv, clipped_qkv = (tree["encoder"]["blocks"]["attn"]["qkv"] for tree in (grads, clipped))
    for layer in range(2):
        groups = [
            ([qkv["kernel"][layer]], [clipped_qkv["kernel"][layer]]),
            *[([tree[f"{part}_bias"][layer] for part in "qkv"] for tree in (qkv, clipped_qkv))],
            *[[[tree["encoder"]["blocks"]["norm1"]["scale"][layer]] for tree in (grads, clipped)]],
        ]
        for before, after in groups:
            norm = math.sqrt(sum(np.square(leaf).sum() for leaf in before))
            for leaf, found in zip(before, after, strict=True):
                np.testing.assert_allclose(found, leaf * min(1.0, 1.5 / (norm + 1e-6)), rtol=1e-5)
    for name in ("kernel", "bias"):
        norm = np.linalg.norm(grads["head"][name])
        expected = grads["head"][name] * min(1.0, 1.5 / (norm + 1e-6))
        np.testing.assert_allclose(clipped["head"][name], expected, rtol=1e-5)
    assert np.array_equal(clipped["head"]["bias"], grads["head"]["bias"])  # small ones stay as they are


def test_a_late_parameter_starts_as_if_training_began_then():
    """PyTorch's AdamW skips a parameter whose gradient is None: no moments, no count, no decay."""
    torch = pytest.importorskip("torch", reason="the oracle is PyTorch (extra: test)")
    rng = np.random.default_rng(0)
    params = {"head": {"fc1": {"kernel": rng.normal(size=(3, 4))}, "last_layer": {"kernel": rng.normal(size=(4, 5))}}}
    params = jax.tree.map(jnp.float32, params)
    theirs = [torch.tensor(np.asarray(leaf), requires_grad=True) for leaf in jax.tree.leaves(params)]
    adamw = torch.optim.AdamW(theirs, lr=0.01, weight_decay=0.3)
    rule = optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(0.3))
    tx = start_late(rule, r"head/last_layer/", 2)
    state, update = tx.init(params), jax.jit(tx.update)
    for step in range(4):
        grads = jax.tree.map(lambda leaf: jnp.float32(rng.normal(size=leaf.shape)), params)
        for parameter, gradient in zip(theirs, jax.tree.leaves(grads), strict=True):
            parameter.grad = torch.tensor(np.asarray(gradient))
        if step < 2:
            theirs[1].grad = None
        adamw.step()
        direction, state = update(grads, state, params, step=step)
        params = jax.tree.map(lambda p, d: p - 0.01 * d, params, direction)
        for leaf, parameter in zip(jax.tree.leaves(params), theirs, strict=True):
            np.testing.assert_allclose(leaf, parameter.detach(), rtol=1e-5, atol=1e-6)


def test_weight_decay_rises_by_half_a_cosine_of_the_runs_step():
    """DINO's cosine_scheduler(0.04, 0.4); the optimiser's own counter has no say in it."""
    config = OptimConfig(weight_decay=0.04, final_weight_decay=0.4)
    tx, _ = optim.build_optimizer(config, global_batch=256, total_steps=10, warmup_steps=0)
    params = {"head": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}
    state, zeros = tx.init(params), jax.tree.map(jnp.zeros_like, params)
    for step in (0, 3, 9):
        direction, _ = tx.update(zeros, state, params, step=jnp.int32(step))
        expected = 0.4 + 0.5 * (0.04 - 0.4) * (1 + math.cos(math.pi * step / 10))
        np.testing.assert_allclose(direction["head"]["kernel"], expected, rtol=1e-5)
        np.testing.assert_array_equal(direction["head"]["bias"], 0.0)


def test_what_is_decayed_follows_the_recipe():
    params = {
        "encoder": {
            "cls_token": jnp.ones(3), "pos_embed": jnp.ones((4, 3)),
            "blocks": {"norm1": {"scale": jnp.ones((2, 3))}, "mlp": {"fc1": {"kernel": jnp.ones((2, 3, 3))}}},
        },
        "head": {"kernel": jnp.ones((3, 5)), "bias": jnp.ones(5)},
    }  # fmt: skip

    def decayed(kind):
        named = jax.tree_util.tree_flatten_with_path(optim.decay_mask(params, kind))[0]
        return {jax.tree_util.keystr(path, simple=True, separator="/") for path, yes in named if yes}

    kernels = {"encoder/blocks/mlp/fc1/kernel", "head/kernel"}
    assert decayed("kernels") == kernels
    assert decayed("matrices") == kernels | {"encoder/cls_token", "encoder/pos_embed"}
    assert len(decayed("all")) == 6
