"""Attention implementations against a NumPy transcription of the definition and against each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidjax import ops
from vidjax.errors import ConfigError

PORTABLE = [None, "xla", "blocked"]


def inputs(b=2, n=5, m=7, h=3, d=4, dtype=np.float32):
    rng = np.random.default_rng(0)
    shapes = ((b, n, h, d), (b, m, h, d), (b, m, h, d))
    return tuple(jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes)


def by_definition(q, k, v, mask=None, is_causal=False, scale=None):
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    out = np.zeros(q.shape)
    scale = 1 / np.sqrt(q.shape[-1]) if scale is None else scale
    for b, i, h in np.ndindex(q.shape[:3]):
        logits = np.array([q[b, i, h] @ k[b, j, h] * scale for j in range(k.shape[1])])
        if mask is not None:
            logits[~np.broadcast_to(mask, (*q.shape[:1], q.shape[2], q.shape[1], k.shape[1]))[b, h, i]] = -np.inf
        if is_causal:
            logits[i + 1 :] = -np.inf
        weights = np.exp(logits - logits.max())
        out[b, i, h] = (weights / weights.sum()) @ v[b, :, h]
    return out


@pytest.mark.parametrize("implementation", PORTABLE)
@pytest.mark.parametrize("mask_shape", [None, (1, 1, 5, 7), (2, 3, 5, 7), (2, 1, 1, 7)])
@pytest.mark.parametrize(("is_causal", "scale"), [(False, None), (True, 0.3)])
def test_portable_implementations_compute_the_definition(implementation, mask_shape, is_causal, scale):
    q, k, v = inputs()
    mask = None
    if mask_shape:
        mask = np.random.default_rng(1).random(mask_shape) < 0.6
        mask[..., 0] = True  # every query sees a key
        mask = jnp.asarray(mask)
    run = jax.jit(
        lambda *x: ops.attention(*x, is_causal=is_causal, scale=scale, implementation=implementation, mask=mask)
    )
    np.testing.assert_allclose(run(q, k, v), by_definition(q, k, v, mask, is_causal, scale), atol=2e-6)


def test_implementations_have_equal_gradients():
    operands = inputs(n=6, m=6)

    def gradient(implementation):
        def loss(*x):
            return jnp.sum(jnp.sin(ops.attention(*x, is_causal=True, implementation=implementation)))

        return jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(*operands)

    for ours, reference in zip(gradient("blocked"), gradient("xla"), strict=True):
        np.testing.assert_allclose(ours, reference, atol=1e-6)


def test_softmax_stays_in_float32_when_inputs_are_bfloat16():
    # 1000 keys with equal logits and values 1, 0, 0, ...: the answer is 1e-3; a bfloat16 sum of weights would stall.
    q, k = jnp.zeros((1, 1, 1, 8), jnp.bfloat16), jnp.zeros((1, 1000, 1, 8), jnp.bfloat16)
    v = jnp.zeros((1, 1000, 1, 8), jnp.bfloat16).at[:, 0].set(1)
    out = ops.attention(q, k, v)
    assert out.dtype == jnp.bfloat16
    np.testing.assert_allclose(out.astype(np.float32), 1e-3, rtol=1e-2)


def test_an_unknown_name_is_refused_with_the_choices():
    with pytest.raises(ConfigError, match=r"flash.*xla"):
        ops.attention(*inputs(), implementation="flash")


@pytest.mark.skipif(jax.default_backend() == "gpu", reason="refuses cuDNN for want of a GPU")
def test_a_named_implementation_never_falls_back():
    with pytest.raises(ConfigError, match=r"cudnn.*not an NVIDIA GPU"):
        ops.attention(*inputs(dtype=jnp.bfloat16), implementation="cudnn")
