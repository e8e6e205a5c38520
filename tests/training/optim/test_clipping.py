"""Clipping by the norm of each parameter, against DINO's formula."""

import math

import jax
import numpy as np
import optax

from vidjax.training.optim.clipping import clip_each


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
