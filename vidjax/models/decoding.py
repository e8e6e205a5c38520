"""Greedy and sampled text generation with GPT-2, one text per row, compiled with fixed shapes.

`greedy` and `sample` are jitted. They compile again if the shape of the prompt or of the states changes, or
`max_tokens`, or the temperature, top_k or top_p of `Sampling`. Generation stops after `max_tokens` tokens, or earlier
if all texts have ended; the positions after a text's end hold the end token.
"""

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from vidjax.errors import ConfigError
from vidjax.models.gpt2 import GPT2, Cache

Texts = dict[str, Array]  # "tokens" (... n), "lengths" (...), "scores" (...)


class Prompt(NamedTuple):
    """The input that generation continues.

    Attributes:
      tokens: the beginnings of the texts, all of the same length, at least one token.
      states, states_mask: an encoder's states and their mask, if the model has cross-attention.
    """

    tokens: Int[Array, "b p"]
    states: Float[Array, "b m d"] | None = None
    states_mask: Bool[Array, "b m"] | None = None


@partial(jax.jit, static_argnames=("module", "max_tokens"))
def greedy(module: GPT2, params: dict, prompt: Prompt, *, max_tokens: int, eos: Int[Array, ""] | int) -> Texts:
    """Continue each text with its likeliest token, one token at a time.

    Args:
      module, params: the language model.
      max_tokens: the maximum number of tokens to generate.
      eos: the token that ends a text; -1 for none.

    Returns:
      tokens (b max_tokens): the new tokens, up to and including the end token; lengths (b): their number; scores (b):
      the sum of their log-probabilities.

    Raises:
      ConfigError: if prompt and text need more positions than the model has.
    """

    def choose(logits, step):
        del step
        return logits.argmax(axis=-1)

    return _generate(module, params, prompt, choose, max_tokens, eos)


@partial(jax.tree_util.register_dataclass, data_fields=["rng"], meta_fields=["temperature", "top_k", "top_p"])
@dataclasses.dataclass(frozen=True)
class Sampling:
    """Settings of random sampling.

    Attributes:
      rng: a key; the same key gives the same texts.
      temperature, top_k, top_p: as in `filter_logits`.
    """

    rng: Array
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


@partial(jax.jit, static_argnames=("module", "max_tokens"))
def sample(
    module: GPT2, params: dict, prompt: Prompt, sampling: Sampling, *, max_tokens: int, eos: Int[Array, ""] | int
) -> Texts:
    """Continue each text with random tokens, drawn from the output of `filter_logits`.

    Other arguments are as in `greedy`.

    Returns:
      as in `greedy`; scores are log-probabilities before the filter.
    """

    def choose(logits, step):
        filtered = filter_logits(logits, temperature=sampling.temperature, top_k=sampling.top_k, top_p=sampling.top_p)
        return jax.random.categorical(jax.random.fold_in(sampling.rng, step), filtered)

    return _generate(module, params, prompt, choose, max_tokens, eos)


def filter_logits(
    logits: Float[Array, "b v"], *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
) -> Float[Array, "b v"]:
    """Keep the logits of the tokens to sample from, and set the others to minus infinity.

    Args:
      temperature: above 0; divides the logits before anything else.
      top_k: keep the likeliest tokens, this many; 0 keeps all.
      top_p: in (0, 1]; of the tokens that `top_k` keeps, keep the likeliest until their probabilities add up to `top_p`
        (Holtzman et al. 2020, section 3.1).

    Raises:
      ConfigError: for an option out of its range.
    """
    if temperature <= 0:
        raise ConfigError(f"temperature={temperature} must be above 0; for the likeliest token use greedy decoding")
    if top_k < 0:
        raise ConfigError(f"top_k={top_k} must be at least 1, or 0 for all tokens")
    if not 0 < top_p <= 1:
        raise ConfigError(f"top_p={top_p} must be above 0 and at most 1")
    logits = logits / temperature
    if 0 < top_k < logits.shape[-1]:
        logits = _at_least(logits, jax.lax.top_k(logits, top_k)[0][:, -1:])
    if top_p < 1:
        ordered = -jnp.sort(-logits, axis=-1)
        probabilities = jax.nn.softmax(ordered, axis=-1)
        likelier = jnp.cumsum(probabilities, axis=-1) - probabilities
        kept = (likelier < top_p).sum(axis=-1, keepdims=True)
        logits = _at_least(logits, jnp.take_along_axis(ordered, kept - 1, axis=-1))
    return logits


def _generate(module, params, prompt, choose, max_tokens, eos):
    """Generate one text per row; `choose` picks the next tokens from logits (b v) and the step number."""
    b = prompt.tokens.shape[0]
    logits, cache = prefill(module, params, prompt, max_tokens)
    texts = {
        "tokens": blank((b, max_tokens), eos),
        "lengths": jnp.zeros((b,), jnp.int32),
        "scores": jnp.zeros((b,)),
    }

    def go_on(carry):
        step, texts, ended, logits, cache = carry
        token = jnp.where(ended, jnp.maximum(eos, 0), choose(logits, step))
        gain = jnp.take_along_axis(jax.nn.log_softmax(logits), token[:, None], axis=1)[:, 0]
        texts = {
            "tokens": texts["tokens"].at[:, step].set(token),
            "lengths": texts["lengths"] + ~ended,
            "scores": texts["scores"] + jnp.where(ended, 0.0, gain),
        }
        logits, cache = extend(module, params, token, cache)
        return step + 1, texts, ended | (token == eos), logits, cache

    def unfinished(carry):
        return (carry[0] < max_tokens) & ~carry[2].all()

    return jax.lax.while_loop(unfinished, go_on, (jnp.int32(0), texts, jnp.zeros((b,), bool), logits, cache))[1]


def blank(shape: tuple[int, ...], eos: Int[Array, ""] | int) -> Int[Array, "..."]:
    """Return an array for tokens, filled with the end token (0 if there is none)."""
    return jnp.full(shape, jnp.maximum(eos, 0), jnp.int32)


def prefill(module, params, prompt: Prompt, max_tokens: int) -> tuple[Array, Cache]:
    """Return the logits (b v) after the prompt, and a cache with room for the text."""
    capacity = prompt.tokens.shape[1] + max_tokens
    return module.apply(
        {"params": params}, prompt.tokens, capacity, prompt.states, prompt.states_mask, method="prefill"
    )


def extend(module, params, token: Int[Array, " b"], cache: Cache) -> tuple[Array, Cache]:
    """Return the logits (b v) after one more token of every text, and the updated cache."""
    return module.apply({"params": params}, token[:, None], cache, method="extend")


def _at_least(logits, threshold):
    return jnp.where(logits >= threshold, logits, -jnp.inf)
