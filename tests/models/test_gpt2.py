"""GPT-2 against the `transformers` implementation with the same random weights: logits, loss, gradients."""

import dataclasses

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from compilations import compilations

pytest.importorskip("torch", reason="the oracle is PyTorch's GPT-2 (extra: test)")
pytest.importorskip("transformers", reason="the oracle is in transformers (extra: test)")

import torch
import transformers
from gpt2_peer import SPECS, params_of, peer, random_inputs, state_of, torch_states

from vidjax.errors import ConfigError
from vidjax.models.gpt2 import GPT2, GPT2_SPECS, Dropout
from vidjax.weights.families.gpt2 import example_inputs

# Millions of parameters as published by Radford et al. 2019.
PUBLISHED = {"small": 124.4, "medium": 354.8, "large": 774.0, "xl": 1557.6}


@pytest.mark.parametrize("name", SPECS)
def test_logits_loss_and_gradients_match_transformers(name):
    spec = SPECS[name]
    tokens, states, mask = random_inputs(spec, rows=3, length=11)
    labels = np.where(np.arange(11) < np.array([[11], [4], [8]]), tokens, -100).astype(np.int64)
    model = peer(spec)
    theirs = model(
        torch.from_numpy(tokens.astype(np.int64)), labels=torch.from_numpy(labels), **torch_states(states, mask)
    )
    theirs.loss.backward()
    params, module = params_of(spec, state_of(model)), GPT2(spec)

    def loss(params):
        logits = module.apply({"params": params}, tokens, states, mask)["logits"]
        return cross_entropy(logits[:, :-1], labels[:, 1:]), logits

    (ours, logits), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    close(logits, theirs.logits.detach().numpy(), 2e-5, "logits")
    assert float(ours) == pytest.approx(theirs.loss.item(), rel=1e-5)
    expected = params_of(spec, state_of(model, gradients=True))
    assert jax.tree.structure(grads) == jax.tree.structure(expected)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    for (path, a), b in zip(jax.tree.leaves_with_path(grads), jax.tree.leaves(expected), strict=True):
        key = jax.tree_util.keystr(path)
        if key.endswith("['k_bias']") or key.endswith("['k']['bias']"):  # zero up to rounding: softmax ignores it
            assert np.abs(a).max() < 1e-6 * largest, key
        else:
            close(a, b, 1e-4, key)


@pytest.mark.parametrize("name", SPECS)
def test_reading_in_pieces_with_a_cache_equals_reading_whole(name):
    spec = SPECS[name]
    tokens, states, mask = random_inputs(spec, rows=2, length=13)
    module = GPT2(spec)
    variables = {"params": params_of(spec, state_of(peer(spec, seed=1)))}
    whole = jax.jit(module.apply)(variables, tokens, states, mask)["logits"]
    logits, cache = jax.jit(module.apply, static_argnames=("capacity", "method"))(
        variables, tokens[:, :5], capacity=15, states=states, states_mask=mask, method="prefill"
    )
    close(logits, whole[:, 4], 2e-5, "prefill")

    @jax.jit
    def extend(tokens, cache):
        return module.apply(variables, tokens, cache, method="extend")

    with compilations() as compiled:
        for start, stop in ((5, 6), (6, 9), (9, 10), (10, 13)):
            logits, cache = extend(tokens[:, start:stop], cache)
            close(logits, whole[:, stop - 1], 2e-5, f"tokens {start} to {stop}")
    assert int(cache["length"]) == 13
    assert compiled.count("jit(extend)") == 2  # pieces of one and of three tokens


def test_texts_that_share_states_need_no_copies_of_them():
    spec = SPECS["three layers, cross-attention"]
    tokens, states, mask = random_inputs(spec, rows=6, length=4)
    states, mask = states[:2], mask[:2]
    module, variables = GPT2(spec), {"params": params_of(spec, state_of(peer(spec)))}
    copied = [np.repeat(x, 3, axis=0) for x in (states, mask)]
    expected = jax.jit(module.apply)(variables, tokens, *copied)["logits"][:, -1]
    prefill = jax.jit(lambda tokens: module.apply(variables, tokens, 4, states, mask, method="prefill"))
    _, cache = prefill(tokens[::3, :3] * 0)
    assert cache["memory"]["k"].shape[:3] == (3, 2, 7)
    empty = jax.tree.map(lambda leaf: jnp.repeat(leaf, 3, axis=1) * 0, cache["past"])
    extend = jax.jit(lambda tokens, cache: module.apply(variables, tokens, cache, method="extend"))
    logits, _ = extend(tokens, cache | {"past": empty, "length": 0})
    close(logits, expected, 2e-5, "logits")


def test_a_token_does_not_see_those_after_it():
    spec = SPECS["one layer, odd vocabulary"]
    module, variables = GPT2(spec), {"params": params_of(spec, state_of(peer(spec)))}
    tokens, _, _ = random_inputs(spec, rows=1, length=8)
    changed = tokens.copy()
    changed[:, 5:] = 1
    a, b = (jax.jit(module.apply)(variables, x)["logits"] for x in (tokens, changed))
    np.testing.assert_array_equal(a[:, :5], b[:, :5])
    assert np.abs(a[:, 5:] - b[:, 5:]).max() > 1e-3


def test_new_cross_attention_adds_nothing_at_first_but_can_learn():
    spec = SPECS["three layers, cross-attention"]
    tokens, states, _ = random_inputs(spec, rows=2, length=5)
    module = GPT2(spec)
    variables = jax.jit(module.init)(jax.random.key(0), tokens, states)
    logits = jax.jit(lambda variables, states: module.apply(variables, tokens, states)["logits"])
    np.testing.assert_array_equal(logits(variables, states), logits(variables, 3 - 2 * states))
    grads = jax.jit(jax.grad(lambda v: logits(v, states).var()))(variables)["params"]
    assert np.abs(grads["blocks"]["cross_attn"]["proj"]["kernel"]).max() > 0


def test_dropout_acts_only_in_training_and_keeps_the_mean():
    spec = dataclasses.replace(SPECS["one layer, odd vocabulary"], dropout=0.25, depth=2)
    tokens, _, _ = random_inputs(spec, rows=2, length=5)
    module, variables = GPT2(spec), jax.jit(GPT2(spec).init)(jax.random.key(0), tokens)
    run = jax.jit(lambda key: module.apply(variables, tokens, train=True, rngs={"dropout": key})["hidden"])
    assert np.abs(run(jax.random.key(0)) - run(jax.random.key(1))).max() > 1e-2
    np.testing.assert_array_equal(run(jax.random.key(0)), run(jax.random.key(0)))
    off = jax.jit(lambda: GPT2(dataclasses.replace(spec, dropout=0.0)).apply(variables, tokens, train=True)["hidden"])
    np.testing.assert_array_equal(off(), jax.jit(module.apply)(variables, tokens)["hidden"])
    dropped = Dropout().apply({}, jnp.ones((100, 100)), 0.25, rngs={"dropout": jax.random.key(0)})
    assert set(np.unique(dropped)) == {0.0, np.float32(4 / 3)}
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.03)


def test_initial_weights_have_the_spread_of_the_paper():
    spec = dataclasses.replace(GPT2_SPECS["tiny"], depth=8, vocab_size=500)
    params = jax.jit(GPT2(spec).init)(jax.random.key(0), np.zeros((1, 1), np.int32))["params"]
    attn, mlp = params["blocks"]["attn"], params["blocks"]["mlp"]
    for leaf in (params["wte"], params["wpe"], attn["qkv"]["kernel"], mlp["fc1"]["kernel"]):
        assert float(leaf.std()) == pytest.approx(0.02, rel=0.05)
    for leaf in (attn["proj"]["kernel"], mlp["fc2"]["kernel"]):  # 16 residual branches
        assert float(leaf.std()) == pytest.approx(0.02 / 4, rel=0.05)


@pytest.mark.slow
def test_recomputation_and_unrolling_change_no_gradient():
    spec = SPECS["three layers, cross-attention"]
    tokens, states, mask = random_inputs(spec, rows=2, length=5)
    params = params_of(spec, state_of(peer(spec)))

    def gradient(spec):
        module, rngs = GPT2(spec), {"dropout": jax.random.key(0)}

        def spread(params):
            return module.apply({"params": params}, tokens, states, mask, train=True, rngs=rngs)["logits"].var()

        return jax.flatten_util.ravel_pytree(jax.jit(jax.grad(spread))(params))[0]

    plain = gradient(spec)
    close(gradient(dataclasses.replace(spec, remat="full", unroll=3)), plain, 1e-5, "full, unrolled")


def test_bfloat16_models_compute_in_bfloat16_and_return_float32_logits():
    spec = dataclasses.replace(SPECS["three layers, cross-attention"], dtype="bfloat16")
    tokens, states, mask = random_inputs(spec, rows=2, length=9)
    module, variables = GPT2(spec), {"params": params_of(spec, state_of(peer(spec, std=0.05)))}
    out = jax.jit(module.apply)(variables, tokens, states, mask)
    assert out["logits"].dtype == jnp.float32
    assert out["hidden"].dtype == jnp.bfloat16
    exact = GPT2(dataclasses.replace(spec, dtype="float32"))
    exact = jax.jit(exact.apply)(variables, tokens, states, mask)["logits"]
    close(out["logits"], exact, 0.03, "logits")


@pytest.mark.parametrize("size", ["tiny", *PUBLISHED])
def test_presets_have_as_many_parameters_as_transformers_and_the_paper(size):
    spec = dataclasses.replace(GPT2_SPECS[size], cross_attention=size in ("tiny", "small"), dtype="bfloat16")
    params = jax.eval_shape(GPT2(spec).init, jax.random.key(0), *example_inputs(spec))["params"]
    assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} == {"float32"}
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    fields = {"n_embd": spec.width, "n_layer": spec.depth, "n_head": spec.num_heads}
    with torch.device("meta"):
        model = transformers.GPT2LMHeadModel(
            transformers.GPT2Config(**fields, add_cross_attention=spec.cross_attention)
        )
    assert count == sum(parameter.numel() for parameter in model.parameters())
    if size in PUBLISHED:
        plain = dataclasses.replace(spec, cross_attention=False)
        params = jax.eval_shape(GPT2(plain).init, jax.random.key(0), *example_inputs(plain))["params"]
        assert sum(leaf.size for leaf in jax.tree.leaves(params)) / 1e6 == pytest.approx(PUBLISHED[size], rel=1e-3)


@pytest.mark.parametrize(
    ("change", "arguments", "sentence"),
    [
        ({"num_heads": 5}, {}, "width=32 is not a multiple of its 5 attention heads"),
        ({"dropout": 1.0}, {}, "dropout=1.0 must be at least 0 and below 1"),
        ({"dtype": "float16"}, {}, "dtype='float16' is unknown; choose one of float32, bfloat16"),
        ({"num_positions": 3}, {}, "a text of 4 tokens does not fit the 3 positions"),
        ({"cross_attention": False}, {}, "states were given to a language model without cross-attention"),
        ({}, {"states": None}, "needs states"),
        ({}, {"states": np.zeros((2, 7, 48), np.float32)}, "states of width 48 do not fit a text of width 32"),
    ],
)
def test_invalid_specs_and_inputs_are_refused_with_the_remedy(change, arguments, sentence):
    spec = SPECS["three layers, cross-attention"]
    tokens, states, _ = random_inputs(spec, rows=2, length=4)
    with pytest.raises(ConfigError, match=sentence):
        GPT2(dataclasses.replace(spec, **change)).init(jax.random.key(0), tokens, **({"states": states} | arguments))


def cross_entropy(logits, labels):
    """Mean over the labels that are not -100."""
    gains = jnp.take_along_axis(jax.nn.log_softmax(logits), np.maximum(labels, 0)[..., None], axis=-1)[..., 0]
    return -jnp.sum(gains * (labels >= 0)) / np.sum(labels >= 0)


def close(ours, theirs, share, name):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=share * float(np.abs(theirs).max()), err_msg=name)
