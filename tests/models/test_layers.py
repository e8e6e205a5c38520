"""Scan, unrolling and rematerialisation change speed, not numbers; drop path; initialisers."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidjax import ops
from vidjax.models import build_model, layers


def run_stack(params, x, rates, depth=3, **options):
    stacked = layers.stack_blocks(layers.Block, depth, **options)(2, 16)
    return stacked.apply({"params": params}, x, rates, rngs={"dropout": jax.random.key(3)})[0]


def stack_params(depth=3, width=8):
    stacked = layers.stack_blocks(layers.Block, depth)(2, 16)
    return jax.jit(stacked.init)(jax.random.key(1), jnp.zeros((1, 2, width)), None)["params"]


def test_unrolling_and_rematerialisation_do_not_change_values_or_gradients():
    params, x = stack_params(), jax.random.normal(jax.random.key(0), (4, 5, 8))
    rates = layers.drop_path_rates(0.5, 3, train=True)

    def value_and_gradients(**options):
        return jax.jit(jax.value_and_grad(lambda p: jnp.mean(jnp.sin(run_stack(p, x, rates, **options)))))(params)

    reference = value_and_gradients()
    for options in ({"unroll": 2}, {"unroll": 3, "remat": "full"}, {"remat": "dots"}, {"remat": "attention"}):
        for ours, expected in zip(
            jax.tree.leaves(value_and_gradients(**options)), jax.tree.leaves(reference), strict=True
        ):
            np.testing.assert_allclose(ours, expected, atol=1e-6, err_msg=str(options))


def test_full_rematerialisation_keeps_less_for_the_backward_pass():
    params, x = stack_params(depth=8), jnp.zeros((64, 16, 8))

    def temporary_bytes(remat):
        def loss(params):
            return jnp.sum(run_stack(params, x, None, depth=8, remat=remat))

        return jax.jit(jax.grad(loss)).lower(params).compile().memory_analysis().temp_size_in_bytes

    assert temporary_bytes("full") < 0.5 * temporary_bytes("none")


def test_keeping_matmuls_also_keeps_the_output_of_attention():
    """Otherwise a kernel would run twice: 160 tokens are enough for the form that has a kernel on a TPU."""
    params, x = stack_params(), jnp.zeros((1, 160, 8))

    def attentions(remat):
        jaxpr = jax.make_jaxpr(jax.grad(lambda p: jnp.sum(run_stack(p, x, None, remat=remat))))(params)
        return str(jaxpr).count("attention_forward")

    assert attentions("full") > attentions("none") > 0
    assert attentions("dots") == attentions("attention") == attentions("none")


def test_stacked_blocks_apply_in_order_each_with_its_own_weights():
    params, x = stack_params(), jax.random.normal(jax.random.key(0), (2, 5, 8))
    one_block = jax.jit(layers.Block(2, 16).apply)
    expected = x
    for i in range(3):
        expected, _ = one_block({"params": jax.tree.map(lambda leaf, i=i: leaf[i], params)}, expected)
    np.testing.assert_allclose(jax.jit(run_stack)(params, x, None), expected, atol=1e-5)
    kernels = params["mlp"]["fc1"]["kernel"]
    assert not np.allclose(kernels[0], kernels[1])


def test_drop_path_drops_whole_rows_and_keeps_the_expectation():
    x = jnp.ones((20000, 2, 3))
    y = np.asarray(jax.jit(lambda rate: layers.DropPath().apply({}, x, rate, rngs={"dropout": jax.random.key(0)}))(0.3))
    rows = y.reshape(20000, -1)
    assert (rows == rows[:, :1]).all()
    np.testing.assert_allclose(np.unique(rows), [0, 1 / 0.7], rtol=1e-6)
    assert (rows[:, 0] == 0).mean() == pytest.approx(0.3, abs=0.015)


def test_drop_path_rates_grow_linearly_and_only_in_training():
    np.testing.assert_allclose(layers.drop_path_rates(0.3, 4, train=True), [0, 0.1, 0.2, 0.3], rtol=1e-6)
    assert layers.drop_path_rates(0.3, 4, train=False) is None


def test_each_layer_and_row_drops_independently():
    # Branches that add exactly 1: the sum over the stack counts how many of the 2 x 3 were kept in each row.
    params = jax.tree.map(jnp.zeros_like, stack_params())
    params["attn"]["proj"]["bias"] = params["mlp"]["fc2"]["bias"] = jnp.ones((3, 8))
    rates = jnp.full(3, 0.5)
    out = jax.jit(run_stack)(params, jnp.zeros((4000, 1, 8)), rates)[:, 0, 0] * 0.5
    frequencies = np.bincount(np.asarray(out).round().astype(int), minlength=7) / 4000
    np.testing.assert_allclose(frequencies, np.array([1, 6, 15, 20, 15, 6, 1]) / 64, atol=0.03)


def test_key_bias_would_not_change_attention():
    # Why VideoMAE leaves it out: the same vector added to all keys shifts each row of logits by a constant.
    x = jax.random.normal(jax.random.key(0), (2, 5, 8))
    with_bias = layers.Attention(2, key_bias=True)
    variables, apply = jax.jit(with_bias.init)(jax.random.key(1), x), jax.jit(with_bias.apply)
    before = apply(variables, x)
    variables["params"]["qkv"]["k_bias"] += 3.0
    np.testing.assert_allclose(apply(variables, x), before, atol=1e-5)
    del variables["params"]["qkv"]["k_bias"]
    without = jax.jit(layers.Attention(2, key_bias=False).apply)
    np.testing.assert_allclose(without(variables, x), before, atol=1e-5)


def test_initial_weights_have_the_ranges_of_the_official_modules():
    module = build_model("videomae_tiny")
    spec = module.spec
    masks = ops.tube_mask(jax.random.key(0), 1, spec.grid, 0.5)
    clips = jnp.zeros((1, *spec.clip_shape))
    params = jax.jit(module.init)(jax.random.key(0), clips, *masks)["params"]

    def largest(*path):
        leaf = params
        for key in path:
            leaf = leaf[key]
        return float(jnp.abs(leaf).max())

    block = ("encoder", "blocks")
    d = spec.width
    # xavier_uniform over the fused (d, 3 d) matrix, (d, d), (d, 4 d); PyTorch's default 1 / sqrt(inputs) elsewhere.
    assert largest(*block, "attn", "qkv", "kernel") == pytest.approx((6 / (4 * d)) ** 0.5, rel=0.01)
    assert largest(*block, "attn", "proj", "kernel") == pytest.approx((6 / (2 * d)) ** 0.5, rel=0.01)
    assert largest(*block, "mlp", "fc1", "kernel") == pytest.approx((6 / (5 * d)) ** 0.5, rel=0.01)
    assert largest("encoder", "patch_embed", "kernel") == pytest.approx(spec.patch_dim**-0.5, rel=0.01)
    assert largest("encoder", "patch_embed", "bias") == pytest.approx(spec.patch_dim**-0.5, rel=0.1)
    assert largest("encoder_to_decoder", "kernel") == pytest.approx(d**-0.5, rel=0.01)
    assert 0.01 < largest("mask_token") <= 0.02
    assert largest(*block, "attn", "qkv", "q_bias") == largest("decoder", "head", "bias") == 0

    classifier = build_model("videomae_tiny", num_classes=50)
    params = jax.jit(classifier.init)(jax.random.key(0), clips)["params"]
    assert float(params["head"]["kernel"].std()) == pytest.approx(2e-5, rel=0.05)
    assert float(params["encoder"]["blocks"]["mlp"]["fc1"]["kernel"].std()) == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("layer", ["gelu", "tanh_gelu", "norm"])
def test_the_backward_pass_of_gelu_and_norm_keeps_only_the_input(layer):
    """In the compute dtype; float32 intermediates would be several times as large."""
    x = jnp.ones((4, 50, 64), jnp.bfloat16)
    norm = layers.LayerNorm(1e-6, dtype=jnp.bfloat16)
    params = jax.jit(norm.init)(jax.random.key(0), x)

    def function(x):
        return norm.apply(params, x) if layer == "norm" else layers.gelu(x, layer == "tanh_gelu")

    kept = jax.eval_shape(lambda x: jax.vjp(function, x)[1], x)
    assert sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(kept)) <= 2 * x.size + 2 * 4 * 64


def test_gelu_has_the_slope_of_its_definition():
    """The slope of x Phi(x) is Phi(x) + x phi(x), here in double precision; finite differences for the tanh form."""
    x = np.linspace(-6, 6, 241)
    phi = np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in x])
    slopes = jax.jit(jax.vmap(jax.grad(layers.gelu)))(jnp.float32(x))
    np.testing.assert_allclose(slopes, phi + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi), atol=1e-6)

    def tanh_gelu(x):  # Hendrycks & Gimpel 2016, section 2
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    slopes = jax.jit(jax.vmap(jax.grad(lambda x: layers.gelu(x, True))))(jnp.float32(x))
    np.testing.assert_allclose(slopes, (tanh_gelu(x + 1e-6) - tanh_gelu(x - 1e-6)) / 2e-6, atol=1e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("bfloat16", 1e-2)])
def test_the_norm_has_the_gradient_of_its_definition(dtype, tolerance):
    """(x - mean) / sqrt(variance + eps) * scale + bias, whose gradient is written out here in double precision."""
    x, out = (np.random.default_rng(seed).normal(1.0, 2.0, (6, 32)) for seed in (0, 1))
    x, out = (np.asarray(jnp.asarray(array, dtype), np.float64) for array in (x, out))
    scale = np.linspace(0.5, 1.5, 32)
    centred = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
    normed, into = centred / deviation, out * scale
    expected = (into - into.mean(-1, keepdims=True) - normed * (into * normed).mean(-1, keepdims=True)) / deviation

    norm = layers.LayerNorm(1e-6, dtype=dtype)
    params = {"scale": jnp.float32(scale), "bias": jnp.zeros(32)}
    run = jax.jit(lambda params, x, out: jax.vjp(lambda p, x: norm.apply({"params": p}, x), params, x)[1](out))
    of_params, of_x = run(params, jnp.asarray(x, dtype), jnp.asarray(out, dtype))
    close = functools.partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance)
    close(of_x, expected)
    close(of_params["scale"], (out * normed).sum(0))
    close(of_params["bias"], out.sum(0))
