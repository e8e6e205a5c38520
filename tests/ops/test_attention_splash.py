"""Attention by the kernels that JAX ships, interpreted: results and gradients against einsums, and when they run."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pltpu

from vidjax import ops
from vidjax.errors import ConfigError
from vidjax.ops.attention import splash_tpu

SHAPES = {  # rows, queries, keys, heads, head width
    "two rows, as many tokens as two blocks": (2, 512, 512, 1, 64),
    "several blocks, neither filled": (1, 300, 400, 2, 64),
    "fewer tokens than a register": (2, 9, 5, 1, 80),
}


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(splash_tpu, "QUERIES", 256)
    monkeypatch.setattr(splash_tpu, "KEYS", 256)


def operands(shape, dtype=jnp.float32):
    b, n, m, h, d = shape
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=(b, k, h, d)), dtype) for k in (n, m, m, n)]


def with_gradients(arrays, **options):
    def run(*arrays):
        out, vjp = jax.vjp(functools.partial(ops.attention, **options), *arrays[:3])
        return out, *vjp(arrays[3].astype(out.dtype))

    return jax.jit(run)(*arrays)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_outputs_and_gradients_match_einsums(small_blocks, shape):
    arrays = operands(shape)
    with pltpu.force_tpu_interpret_mode(), jax.default_matmul_precision("highest"):
        found = with_gradients(arrays, implementation="splash", scale=0.2)
        expected = with_gradients(arrays, implementation="xla", scale=0.2)
    for value, exact in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, exact, atol=2e-6 * np.abs(exact).max())


def test_bfloat16_is_as_close_to_the_truth_as_einsums_are(small_blocks):
    arrays = operands((1, 150, 150, 1, 64), jnp.bfloat16)
    truth = with_gradients([x.astype(jnp.float32) for x in arrays], implementation="xla")
    with pltpu.force_tpu_interpret_mode():
        found = with_gradients(arrays, implementation="splash")
    for value, other, exact in zip(found, with_gradients(arrays, implementation="xla"), truth, strict=True):
        assert value.dtype == jnp.bfloat16
        error, usual = (np.square(np.asarray(x, np.float32) - exact).mean() ** 0.5 for x in (value, other))
        assert error < 1.2 * usual


@pytest.mark.parametrize(
    ("tokens", "kernels"),
    [
        (1568, {"attention_forward", "attention_backward"}),
        (18432, {f"splash_mha_{name}_residuals" for name in ("fwd", "dq_no", "dkv_no")}),
        (18433, {f"splash_mha_{name}_residuals" for name in ("fwd_segmented", "dq_segmented_no", "dkv_segmented_no")}),
    ],
)
def test_keys_that_a_tpu_core_cannot_hold_are_streamed(tokens, kernels):
    """64 frames of 384 pixels are 18,432 tokens."""
    array = jax.ShapeDtypeStruct((1, tokens, 2, 64), jnp.bfloat16)
    gradient = jax.jit(jax.grad(lambda *a: jnp.sum(ops.attention(*a).astype(jnp.float32)), argnums=(0, 1, 2)))
    text = gradient.trace(array, array, array).lower(lowering_platforms=("tpu",)).as_text()
    assert set(re.findall(r'kernel_name = "(\w+)"', text)) == kernels


def test_other_platforms_use_no_kernel():
    array = jax.ShapeDtypeStruct((1, 18432, 2, 64), jnp.bfloat16)
    text = jax.jit(ops.attention).trace(array, array, array).lower(lowering_platforms=("cpu",)).as_text()
    assert "custom_call" not in text


@pytest.mark.parametrize("length", [1, 128, 257, 1024, 1025, 1569, 18000, 18432])
def test_blocks_have_whole_registers_in_each_half_and_add_few_tokens(length):
    block = splash_tpu.block_of(length, 1024)
    assert block % 256 == 0
    assert block <= 1024
    assert -length % block < 256 * -(-length // 1024)


@pytest.mark.parametrize("masking", [{"is_causal": True}, {"mask": np.ones((1, 1, 8, 8), bool)}])
def test_masks_are_refused(masking):
    with pytest.raises(ConfigError, match=r"splash.*no masks.*xla"):
        ops.attention(*operands((1, 8, 8, 2, 64))[:3], implementation="splash", **masking)


def test_half_precision_is_refused_by_name_and_tiled_without_one():
    half = jax.ShapeDtypeStruct((1, 18432, 2, 64), jnp.float16)
    with pytest.raises(ConfigError, match=r"splash.* inputs are float16 .*use attention='tiled'"):
        jax.eval_shape(functools.partial(ops.attention, implementation="splash"), half, half, half)
    text = jax.jit(ops.attention).trace(half, half, half).lower(lowering_platforms=("tpu",)).as_text()
    assert "tpu_custom_call" not in text


@pytest.mark.parametrize(("kept", "runs"), [("attention", 1), ("nothing", 2)])
def test_policies_can_keep_what_the_backward_pass_needs(kept, runs):
    array = jax.ShapeDtypeStruct((1, 18432, 2, 64), jnp.bfloat16)
    policy = jax.checkpoint_policies.save_only_these_names(kept)

    def loss(q, k, v):
        return jnp.sum(jnp.sin(ops.attention(jnp.sin(q), k, v).astype(jnp.float32)))

    gradient = jax.jit(jax.value_and_grad(jax.checkpoint(loss, policy=policy), argnums=(0, 1, 2)))
    text = gradient.trace(array, array, array).lower(lowering_platforms=("tpu",)).as_text()
    assert text.count('kernel_name = "splash_mha_fwd') == runs
