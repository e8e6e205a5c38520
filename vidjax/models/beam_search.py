"""Beam search for GPT-2, compiled with fixed shapes."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Bool, Float, Int

from vidjax.errors import ConfigError
from vidjax.models.decoding import Prompt, Texts, blank, extend, prefill
from vidjax.models.gpt2 import GPT2


@partial(jax.tree_util.register_dataclass, data_fields=["length_penalty", "early_stopping"], meta_fields=["num_beams"])
@dataclasses.dataclass(frozen=True)
class Beams:
    """Settings of a beam search.

    Attributes:
      num_beams: k, the number of open beams and of finished texts per row.
      length_penalty: positive values favour long texts, negative values short ones.
      early_stopping: whether a row stops as soon as it has k finished texts. Otherwise it continues until the best open
        beam, scored at its current length, would replace no finished text.
    """

    num_beams: int
    length_penalty: Float[Array, ""] | float = 1.0
    early_stopping: Bool[Array, ""] | bool = False


@partial(jax.jit, static_argnames=("module", "max_tokens"))
def beam_search(
    module: GPT2, params: dict, prompt: Prompt, beams: Beams, *, max_tokens: int, eos: Int[Array, ""] | int
) -> Texts:
    """Search for the texts with the highest sum of log-probabilities / length ** length_penalty.

    Each step ranks the 2 k best continuations of a row's open beams. If a continuation is among the first k and ends
    its text, it competes for the k places of finished texts. The k best continuations that do not end their text stay
    open. Other arguments are as in `greedy`.

    Returns:
      as in `greedy`, but with k texts per row, best first: tokens (b k max_tokens), lengths (b k), scores (b k). Scores
      are sums of log-probabilities, not divided by a power of the length.

    Raises:
      ConfigError: if k is below 1, if the model has too few positions, or if its vocabulary has fewer than 2 k tokens.
    """
    num_beams = beams.num_beams
    if not 1 <= num_beams <= module.spec.vocab_size // 2:
        raise ConfigError(f"num_beams={num_beams} must be from 1 to half the vocabulary, {module.spec.vocab_size // 2}")
    b = prompt.tokens.shape[0]
    logits, cache = prefill(module, params, prompt, max_tokens)
    no_text = {
        "tokens": blank((b, num_beams, max_tokens), eos),
        "lengths": jnp.ones((b, num_beams), jnp.int32),
        "scores": jnp.full((b, num_beams), -jnp.inf),
    }
    carry: dict[str, Any] = {
        "step": jnp.int32(0),
        "open": no_text | {"scores": no_text["scores"].at[:, 0].set(0.0)},  # all beams start equal, so only one counts
        "finished": no_text,
        "active": jnp.ones((b,), bool),
        "logits": jnp.repeat(logits[:, None], num_beams, axis=1),
        "cache": _map_past(cache, lambda leaf: jnp.repeat(leaf, num_beams, axis=1)),
    }

    def go_on(carry):
        carry, chosen = _grow(carry, eos, max_tokens, beams)
        rows = (chosen + num_beams * jnp.arange(b)[:, None]).reshape(-1)
        cache = _map_past(carry["cache"], lambda leaf: leaf[:, rows])
        token = carry["open"]["tokens"][:, :, carry["step"]]
        logits, cache = extend(module, params, token.reshape(-1), cache)
        logits = rearrange(logits, "(b k) v -> b k v", b=b)
        return carry | {"step": carry["step"] + 1, "logits": logits, "cache": cache}

    def unfinished(carry):
        return (carry["step"] < max_tokens) & carry["active"].any()

    return jax.lax.while_loop(unfinished, go_on, carry)["finished"]


def _grow(carry, eos, max_tokens, options: Beams):
    """Extend every text by one token; also return the beams (b k) that the open texts extend."""
    step, active, num_beams = carry["step"], carry["active"], carry["open"]["scores"].shape[1]

    def rank(texts):
        return texts["scores"] / texts["lengths"].astype(jnp.float32) ** options.length_penalty

    beams, texts = _continuations(carry["open"], carry["logits"], step)
    ends = (texts["tokens"][:, :, step] == eos) | (step + 1 == max_tokens)
    may_finish = ends & active[:, None] & (jnp.arange(2 * num_beams) < num_beams)
    candidates = jax.tree.map(lambda *x: jnp.concatenate(x, axis=1), carry["finished"], _only(may_finish, texts))
    finished = _take(candidates, jax.lax.top_k(rank(candidates), num_beams)[1])
    going = _only(~ends, texts)
    chosen = jax.lax.top_k(going["scores"], num_beams)[1]
    opened = _take(going, chosen)

    full = (finished["scores"] > -jnp.inf).all(axis=1)
    improvable = rank(opened)[:, 0] > rank(finished).min(axis=1)
    active &= ~full | (improvable & jnp.logical_not(options.early_stopping))
    return carry | {"open": opened, "finished": finished, "active": active}, _take(beams, chosen)


def _continuations(opened, logits, step):
    """Return the beams (b 2k) that the 2 k best continuations extend, and these texts, best first."""
    num_beams, vocab_size = logits.shape[1:]
    scores = opened["scores"][..., None] + jax.nn.log_softmax(logits)
    scores, index = jax.lax.top_k(rearrange(scores, "b k v -> b (k v)"), 2 * num_beams)
    beams, token = index // vocab_size, index % vocab_size
    tokens = _take(opened["tokens"], beams).at[:, :, step].set(token)
    return beams, {"tokens": tokens, "lengths": jnp.full_like(token, step + 1), "scores": scores}


def _only(allowed, texts):
    return texts | {"scores": jnp.where(allowed, texts["scores"], -jnp.inf)}


def _take(tree, index):
    """Take the entries `index` (b i) along the second axis of every leaf (b j ...)."""

    def take(leaf):
        return jnp.take_along_axis(leaf, index.reshape(index.shape + (1,) * (leaf.ndim - 2)), axis=1)

    return jax.tree.map(take, tree)


def _map_past(cache, function):
    return cache | {"past": jax.tree.map(function, cache["past"])}
