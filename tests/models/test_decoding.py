"""Text generation with GPT-2 against `transformers`' generate with the same weights, token by token."""

import dataclasses
import itertools

import jax
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
from vidjax.models.beam_search import Beams, beam_search
from vidjax.models.decoding import Prompt, Sampling, filter_logits, greedy, sample
from vidjax.models.gpt2 import GPT2

NEW, KEY = 10, jax.random.key(0)


def case(name, seed, rows=3, length=2):
    """Our module, the transformers model, our parameters, and inputs."""
    spec = SPECS[name]
    model = peer(spec, seed, std=0.4)
    inputs = random_inputs(spec, rows, length, seed=seed)
    return GPT2(spec), model, params_of(spec, state_of(model)), inputs


def generate(model, inputs, eos, **options):
    """The tokens (rows n) that transformers adds to the prompt, padded with `eos`."""
    tokens, states, mask = inputs
    prompt = torch.from_numpy(tokens.astype(np.int64))
    ends = {"eos_token_id": eos, "pad_token_id": eos} if eos >= 0 else {"eos_token_id": None, "pad_token_id": 0}
    with torch.no_grad():
        out = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=NEW,
            return_dict_in_generate=True,
            output_scores=True,
            **ends,
            **options,
            **torch_states(states, mask),
        )
    new = out.sequences[:, tokens.shape[1] :].numpy()
    return np.pad(new, ((0, 0), (0, NEW - new.shape[1])), constant_values=max(eos, 0)), out


def log_probabilities(model, inputs, tokens):
    """Log-probabilities (b n) of each token (b n) after the prompt, by one call on the whole text."""
    prompt, states, mask = inputs
    whole = torch.from_numpy(np.concatenate([prompt, tokens], axis=1).astype(np.int64))
    with torch.no_grad():
        logits = model(whole, **torch_states(states, mask)).logits[:, prompt.shape[1] - 1 : -1]
    return np.take_along_axis(logits.log_softmax(-1).numpy(), tokens[..., None].astype(np.int64), axis=-1)[..., 0]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SPECS)
def test_greedy_tokens_match_transformers(name, seed):
    module, model, params, inputs = case(name, seed)
    free, _ = generate(model, inputs, -1, do_sample=False)
    ours = greedy(module, params, Prompt(*inputs), max_tokens=NEW, eos=-1)
    np.testing.assert_array_equal(ours["tokens"], free)
    np.testing.assert_array_equal(ours["lengths"], [NEW] * 3)
    np.testing.assert_allclose(ours["scores"], log_probabilities(model, inputs, free).sum(1), rtol=1e-4)

    eos = int(free[0, 4])  # ends the first text at its fifth token or before
    expected, _ = generate(model, inputs, eos, do_sample=False)
    ours = greedy(module, params, Prompt(*inputs), max_tokens=NEW, eos=eos)
    np.testing.assert_array_equal(ours["tokens"], expected)
    lengths = [list(row).index(eos) + 1 if eos in row else NEW for row in expected]
    assert ours["lengths"].tolist() == lengths
    assert lengths[0] <= 5
    gains = log_probabilities(model, inputs, expected) * (np.arange(NEW) < np.array(lengths)[:, None])
    np.testing.assert_allclose(ours["scores"], gains.sum(1), rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "seed", "num_beams", "length_penalty", "early_stopping"),
    [
        ("one layer, odd vocabulary", 0, 4, 1.0, False),
        ("one layer, odd vocabulary", 1, 4, 1.0, True),
        ("one layer, odd vocabulary", 2, 4, 0.0, False),
        ("three layers, cross-attention", 0, 3, 1.0, False),
        ("three layers, cross-attention", 1, 3, 2.0, True),
        ("three layers, cross-attention", 2, 3, -1.0, False),
        ("one head, cross-attention, another epsilon", 0, 8, 1.0, False),
        ("one head, cross-attention, another epsilon", 1, 8, -0.5, True),
        ("one head, cross-attention, another epsilon", 2, 1, 0.6, True),
    ],
)
def test_all_beams_match_transformers(name, seed, num_beams, length_penalty, early_stopping):
    module, model, params, inputs = case(name, seed)
    free, _ = generate(model, inputs, -1, do_sample=False)
    options = {"num_beams": num_beams, "length_penalty": length_penalty, "early_stopping": early_stopping}
    for eos in (int(free[0, 3]), -1):
        expected, out = generate(model, inputs, eos, do_sample=False, num_return_sequences=num_beams, **options)
        ours = beam_search(module, params, Prompt(*inputs), Beams(**options), max_tokens=NEW, eos=eos)
        np.testing.assert_array_equal(ours["tokens"].reshape(-1, NEW), expected)
        if num_beams > 1:
            ranks = ours["scores"] / ours["lengths"] ** length_penalty
            np.testing.assert_allclose(ranks.reshape(-1), out.sequences_scores.numpy(), rtol=1e-4)
            assert (np.diff(ranks, axis=1) <= 0).all()
        if eos < 0:
            assert (ours["lengths"] == NEW).all()


def test_beams_wide_enough_for_all_texts_find_the_best():
    spec = dataclasses.replace(SPECS["one layer, odd vocabulary"], vocab_size=8)
    model = peer(spec, seed=5, std=0.4)
    inputs = (np.array([[3]], np.int32), None, None)
    texts = np.array(list(itertools.product(range(8), repeat=2)), np.int32)
    scores = log_probabilities(model, (np.repeat(inputs[0], 64, axis=0), None, None), texts)
    sums = np.where(texts[:, 0] == 0, scores[:, 0], scores.sum(1))  # token 0 ends a text
    module, beams = GPT2(spec), Beams(4, length_penalty=0.0)
    found = beam_search(module, params_of(spec, state_of(model)), Prompt(inputs[0]), beams, max_tokens=2, eos=0)
    best = texts[sums.argmax()]
    assert found["tokens"][0, 0].tolist() == (best.tolist() if best[0] else [0, 0])
    np.testing.assert_allclose(found["scores"][0, 0], sums.max(), rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"top_k": 5},
        {"top_p": 0.7},
        {"temperature": 0.6},
        {"temperature": 1.7, "top_k": 9, "top_p": 0.9},
        {"top_p": 1e-6},
        {"top_k": 500},
    ],
)
def test_filtered_probabilities_match_transformers(options):
    logits = np.random.default_rng(0).normal(size=(20, 40)).astype(np.float32) * 2
    expected = torch.from_numpy(logits)
    warpers = {
        "temperature": transformers.TemperatureLogitsWarper,
        "top_k": transformers.TopKLogitsWarper,
        "top_p": transformers.TopPLogitsWarper,
    }
    for name, warper in warpers.items():
        if name in options:
            expected = warper(options[name])(None, expected)
    ours = jax.jit(lambda logits: filter_logits(logits, **options))(logits)
    np.testing.assert_allclose(jax.nn.softmax(ours), expected.softmax(-1).numpy(), atol=1e-6)
    np.testing.assert_array_equal(np.isinf(ours), np.isinf(expected.numpy()))


def test_samples_follow_the_filtered_distribution():
    module, _, params, inputs = case("one head, cross-attention, another epsilon", 0, rows=1, length=3)
    rows = 4000
    many = [np.repeat(x, rows, axis=0) for x in inputs]
    options = {"temperature": 0.8, "top_k": 12, "top_p": 0.95}
    ours = sample(module, params, Prompt(*many), Sampling(jax.random.key(7), **options), max_tokens=2, eos=0)
    first = np.asarray(ours["tokens"][:, 0])
    apply = jax.jit(module.apply)
    logits = apply({"params": params}, *inputs)["logits"][:, -1]
    chi_square_fits(first, np.asarray(jax.nn.softmax(filter_logits(logits, **options)))[0])
    # And the second token, given the commonest first token that does not end the text.
    given = int(np.bincount(first[first != 0]).argmax())
    longer = np.concatenate([inputs[0], [[given]]], axis=1).astype(np.int32)
    logits = apply({"params": params}, longer, *inputs[1:])["logits"][:, -1]
    second = np.asarray(ours["tokens"][:, 1])[first == given]
    chi_square_fits(second, np.asarray(jax.nn.softmax(filter_logits(logits, **options)))[0])


def chi_square_fits(draws, probabilities):
    """Pearson's statistic is below its mean plus five deviations, and nothing impossible was drawn."""
    counts = np.bincount(draws, minlength=len(probabilities))
    possible = probabilities > 0
    assert counts[~possible].sum() == 0
    expected = probabilities[possible] * len(draws)
    statistic, freedom = ((counts[possible] - expected) ** 2 / expected).sum(), possible.sum() - 1
    assert freedom >= 3
    assert statistic < freedom + 5 * np.sqrt(2 * freedom)


def test_the_same_key_gives_the_same_samples_and_another_key_others():
    module, model, params, inputs = case("three layers, cross-attention", 0)

    def draw(key):
        return sample(module, params, Prompt(*inputs), Sampling(jax.random.key(key)), max_tokens=NEW, eos=-1)

    a, b, c = draw(0), draw(0), draw(1)
    np.testing.assert_array_equal(a["tokens"], b["tokens"])
    assert (np.asarray(a["tokens"]) != np.asarray(c["tokens"])).mean() > 0.5
    gains = log_probabilities(model, inputs, np.asarray(a["tokens"]))
    np.testing.assert_allclose(a["scores"], gains.sum(1), rtol=1e-4)


def test_a_temperature_near_zero_is_greedy():
    module, _, params, inputs = case("three layers, cross-attention", 1)
    almost_none = Sampling(jax.random.key(0), temperature=1e-4)
    cold = sample(module, params, Prompt(*inputs), almost_none, max_tokens=NEW, eos=-1)
    likeliest = greedy(module, params, Prompt(*inputs), max_tokens=NEW, eos=-1)
    np.testing.assert_array_equal(cold["tokens"], likeliest["tokens"])


def test_other_prompts_of_the_same_shape_compile_nothing():
    module, _, params, inputs = case("three layers, cross-attention", 0)
    for function, first, second in (
        (greedy, (), ()),
        (beam_search, (Beams(2, 1.0),), (Beams(2, 2.0),)),
        (sample, (Sampling(jax.random.key(0)),), (Sampling(jax.random.key(1)),)),
    ):
        function(module, params, Prompt(*inputs), *first, max_tokens=4, eos=1)
        others = Prompt(inputs[0] + 1, inputs[1] * 2, ~inputs[2] | True)
        with compilations() as compiled:
            # Another module of the same spec, as from loading the same checkpoint again.
            function(GPT2(module.spec), params, others, *second, max_tokens=4, eos=2)
        assert not compiled


def test_rows_do_not_depend_on_their_neighbours():
    module, _, params, inputs = case("three layers, cross-attention", 2)
    together = beam_search(module, params, Prompt(*inputs), Beams(3), max_tokens=NEW, eos=5)
    for row in range(3):
        prompt = Prompt(*(x[row : row + 1] for x in inputs))
        alone = beam_search(module, params, prompt, Beams(3), max_tokens=NEW, eos=5)
        np.testing.assert_array_equal(alone["tokens"][0], together["tokens"][row])


@pytest.mark.parametrize(
    ("function", "options", "max_tokens", "sentence"),
    [
        (greedy, None, 18, "a text of 20 tokens does not fit the 19 positions"),
        (beam_search, {"num_beams": 27}, 3, "num_beams=27 must be from 1 to half the vocabulary, 26"),
        (beam_search, {"num_beams": 0}, 3, "num_beams=0 must be from 1"),
        (sample, {"temperature": 0.0}, 3, "temperature=0.0 must be above 0; .* greedy"),
        (sample, {"top_p": 1.5}, 3, "top_p=1.5 must be above 0 and at most 1"),
        (sample, {"top_k": -1}, 3, "top_k=-1 must be at least 1, or 0 for all tokens"),
    ],
)
def test_invalid_options_are_refused(function, options, max_tokens, sentence):
    module, _, params, inputs = case("one layer, odd vocabulary", 0)
    how = {greedy: lambda: [], beam_search: lambda: [Beams(**options)], sample: lambda: [Sampling(KEY, **options)]}
    with pytest.raises(ConfigError, match=sentence):
        function(module, params, Prompt(jnp.asarray(inputs[0])), *how[function](), max_tokens=max_tokens, eos=0)
