"""GPT-2 (Radford et al. 2019): a causal transformer on text, which can also attend to an encoder's states.

A block is self-attention, optional cross-attention, then the MLP, each after a layer norm. The model reads texts whole,
or piece by piece with a fixed-size cache that holds the keys and values of the tokens read so far.
"""

import dataclasses
import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Bool, Float, Int

from vidjax import ops
from vidjax.errors import ConfigError
from vidjax.models import layers
from vidjax.models.compiled_init import CompiledInit
from vidjax.models.spec import check_choice, check_heads, check_sizes

Cache = dict  # "past" and "memory": keys and values (l b n h e); "states_mask" (b m) or None; "length" (), tokens read


@dataclasses.dataclass(frozen=True, kw_only=True)
class GPT2Spec:
    """The shape of a GPT-2.

    Attributes:
      width, depth, num_heads, mlp_dim: size of the blocks.
      vocab_size: number of tokens in the vocabulary.
      num_positions: the maximum number of tokens in a text.
      norm_eps: epsilon of every layer norm.
      cross_attention: whether the blocks attend to an encoder's states, whose width must equal `width`.
      dropout: rate in training, on the embedding and the residual branches, in [0, 1). The original also drops
        attention weights, which fused attention cannot do.
      dtype: compute dtype, float32 or bfloat16; parameters are float32.
      remat: what the backward pass recomputes, one of `layers.REMAT`.
      unroll: a stack of at most this many layers runs without a loop.
      attention: an implementation of `vidjax.ops.attention`; None chooses by platform.

    Raises:
      ConfigError: for a size below 1, if the heads do not divide the width, for an unknown `dtype` or `remat`, or for a
        dropout rate out of range.
    """

    width: int
    depth: int
    num_heads: int
    mlp_dim: int
    vocab_size: int = 50257
    num_positions: int = 1024
    norm_eps: float = 1e-5
    cross_attention: bool = False
    dropout: float = 0.1
    dtype: str = "float32"
    remat: str = "none"
    unroll: int = 1
    attention: str | None = None

    def __post_init__(self):
        check_sizes(self)
        check_heads("", self.width, self.num_heads)
        check_choice("dtype", self.dtype, ("float32", "bfloat16"))
        check_choice("remat", self.remat, layers.REMAT)
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout={self.dropout} must be at least 0 and below 1")

    def check_length(self, num_tokens: int) -> None:
        """Reject a text with more tokens than the model has positions."""
        if num_tokens > self.num_positions:
            raise ConfigError(
                f"a text of {num_tokens} tokens does not fit the {self.num_positions} positions of the language model; "
                f"shorten the text, or generate fewer tokens"
            )


def _sizes(width: int, depth: int, num_heads: int) -> GPT2Spec:
    return GPT2Spec(width=width, depth=depth, num_heads=num_heads, mlp_dim=4 * width)


# Radford et al. 2019, table 2; it gives 117M parameters for the smallest model, which has 124M. tiny: for tests, with
# the same vocabulary, so that it can use the same tokenizer.
GPT2_SPECS = {
    "tiny": _sizes(64, 2, 4),
    "small": _sizes(768, 12, 12),
    "medium": _sizes(1024, 24, 16),
    "large": _sizes(1280, 36, 20),
    "xl": _sizes(1600, 48, 25),
}


class GPT2(CompiledInit):
    """The language model; its head is the transposed token embedding."""

    spec: GPT2Spec

    def setup(self):
        s = self.spec
        self.wte = self.param("wte", layers.normal_002, (s.vocab_size, s.width), jnp.float32)
        self.wpe = self.param("wpe", layers.normal_002, (s.num_positions, s.width), jnp.float32)
        self.drop = Dropout()
        stacked = layers.stack_blocks(GPT2Block, s.depth, unroll=s.unroll, remat=s.remat, in_axes=(0, nn.broadcast))
        self.blocks = stacked(s)
        self.norm = layers.LayerNorm(s.norm_eps, dtype=s.dtype)

    def __call__(
        self,
        tokens: Int[Array, "b n"],
        states: Float[Array, "b m d"] | None = None,
        states_mask: Bool[Array, "b m"] | None = None,
        train: bool = False,
    ) -> dict[str, Array]:
        """Read whole texts, padded on the right if necessary: each token sees only itself and those before it.

        Args:
          tokens: in [0, vocab_size).
          states: an encoder's states, if the blocks have cross-attention.
          states_mask: True for valid states; None if all are valid.
          train: whether to apply dropout, with the rng stream "dropout".

        Returns:
          logits (b n v): float32, for the next token at each position; hidden (b n d): the last states.

        Raises:
          ConfigError: if a text is too long, if states are given to a model without cross-attention, or if they are
            missing or of the wrong width for a model with it.
        """
        rate = self.spec.dropout if train and self.spec.dropout > 0 else None
        hidden, _ = self._read(tokens, None, states, states_mask, rate)
        return {"logits": self._logits(hidden), "hidden": hidden}

    def prefill(
        self,
        tokens: Int[Array, "b n"],
        capacity: int,
        states: Float[Array, "b m d"] | None = None,
        states_mask: Bool[Array, "b m"] | None = None,
    ) -> tuple[Float[Array, "b v"], Cache]:
        """Read the beginning of each text into a new cache.

        Args:
          tokens, states, states_mask: as for a whole text.
          capacity: how many tokens the cache can hold, including the beginning.

        Returns:
          the logits of the next token, and the cache, which also holds the keys and values of `states`.
        """
        s = self.spec
        s.check_length(capacity)
        shape = (s.depth, tokens.shape[0], capacity, s.num_heads, s.width // s.num_heads)
        past = {"k": jnp.zeros(shape, s.dtype), "v": jnp.zeros(shape, s.dtype)}
        cache = {"past": past, "memory": None, "states_mask": states_mask, "length": jnp.int32(0)}
        hidden, cache = self._read(tokens, cache, states, states_mask, None)
        return self._logits(hidden[:, -1]), cache

    def extend(self, tokens: Int[Array, "b n"], cache: Cache) -> tuple[Float[Array, "b v"], Cache]:
        """Read the next tokens of the texts in a cache.

        Args:
          cache: from `prefill` or this function; the caller must not exceed its capacity. Texts may share states: with
            r * b texts in "past" and b rows in "memory", text i attends to the states of row i // r.

        Returns:
          the logits of the token after these, and the updated cache.
        """
        hidden, cache = self._read(tokens, cache, None, cache["states_mask"], None)
        return self._logits(hidden[:, -1]), cache

    def _read(self, tokens, cache, states, states_mask, rate):
        s, n = self.spec, tokens.shape[1]
        s.check_length(n)
        memory = cache["memory"] if cache else None
        _check_states(s, states, memory)
        length = cache["length"] if cache else 0
        positions = jax.lax.dynamic_slice_in_dim(self.wpe, length, n)
        x = self.drop((jnp.take(self.wte, tokens, axis=0) + positions).astype(s.dtype), rate)
        rates = None if rate is None else jnp.full((s.depth,), rate, jnp.float32)
        layer = {"dropout": rates, "past": cache["past"] if cache else None, "memory": memory}
        x, kept = self.blocks(x, layer, {"states": states, "states_mask": states_mask, "length": length})
        return self.norm(x), cache and cache | kept | {"length": length + n}

    def _logits(self, hidden):
        table = self.wte.astype(self.spec.dtype)
        return jnp.einsum("...d,vd->...v", hidden, table, preferred_element_type=jnp.float32)


class GPT2Block(nn.Module):
    """One layer, written as a scan step.

    `layer` holds the values that differ between layers: the dropout rate, the past and the memory. `context` holds the
    values that layers share: the encoder's states and their mask, and the number of tokens read so far. Without a past,
    the block caches nothing.
    """

    spec: GPT2Spec

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"], layer: dict, context: dict) -> tuple[Array, dict | None]:
        s, rate, past, memory = self.spec, layer["dropout"], layer["past"], layer["memory"]
        norm = partial(layers.LayerNorm, s.norm_eps, dtype=s.dtype)
        y, past = SelfAttention(s, name="attn")(norm(name="norm1")(x), past, context["length"])
        x = x + Dropout()(y, rate)
        if s.cross_attention:
            attend = CrossAttention(s, name="cross_attn")
            memory = attend.remember(context["states"]) if memory is None else memory
            x = x + Dropout()(attend(norm(name="norm_cross")(x), memory, context["states_mask"]), rate)
        mlp = layers.MLP(s.mlp_dim, approximate_gelu=True, dtype=s.dtype, out_init=_residual_init(s), name="mlp")
        x = x + Dropout()(mlp(norm(name="norm2")(x)), rate)
        return x, None if past is None else {"past": past, "memory": memory}


class SelfAttention(nn.Module):
    """Causal attention over the given tokens and, with a past, all tokens before them."""

    spec: GPT2Spec

    @nn.compact
    def __call__(
        self, x: Float[Array, "b n d"], past: dict | None, length: Int[Array, ""] | int
    ) -> tuple[Float[Array, "b n d"], dict | None]:
        s = self.spec
        q, k, v = layers.QKV(s.num_heads, True, s.dtype, layers.normal_002, name="qkv")(x)
        if past is None:
            y = ops.attention(q, k, v, is_causal=True, implementation=s.attention)
        else:
            put = partial(jax.lax.dynamic_update_slice_in_dim, start_index=length, axis=1)
            past = {"k": put(past["k"], k), "v": put(past["v"], v)}
            seen = jnp.arange(past["k"].shape[1]) <= length + jnp.arange(x.shape[1])[:, None]
            y = ops.attention(q, past["k"], past["v"], mask=seen[None, None], implementation=s.attention)
        return layers.HeadsOut(s.dtype, _residual_init(s), name="proj")(y), past


class CrossAttention(nn.Module):
    """Attention of the text to an encoder's states.

    The output projection starts at zero, so that adding cross-attention to a language model changes nothing before
    training (our choice; the usual start is a normal with standard deviation 0.02).
    """

    spec: GPT2Spec

    def setup(self):
        s = self.spec
        heads = (s.num_heads, s.width // s.num_heads)
        project = partial(
            nn.DenseGeneral, heads, dtype=s.dtype, kernel_init=layers.normal_002, dot_general=layers.dot_general
        )
        self.q, self.k, self.v = (project() for _ in range(3))
        self.proj = layers.HeadsOut(s.dtype, nn.initializers.zeros)

    def remember(self, states: Float[Array, "b m d"]) -> dict[str, Float[Array, "b m h e"]]:
        """Compute the keys and values of the states."""
        return {"k": self.k(states), "v": self.v(states)}

    def __call__(
        self, x: Float[Array, "rb n d"], memory: dict, states_mask: Bool[Array, "b m"] | None
    ) -> Float[Array, "rb n d"]:
        """Attend to the states; r consecutive texts share a row of states, so their queries are joined into one row."""
        q = rearrange(self.q(x), "(b r) n h e -> b (r n) h e", b=memory["k"].shape[0])
        mask = None if states_mask is None else states_mask[:, None, None]
        y = ops.attention(q, memory["k"], memory["v"], mask=mask, implementation=self.spec.attention)
        return self.proj(rearrange(y, "b (r n) h e -> (b r) n h e", n=x.shape[1]))


class Dropout(nn.Module):
    """Zero each value with probability `rate`; scale the others by 1 / (1 - rate). A rate of None changes nothing."""

    @nn.compact
    def __call__(self, x: Float[Array, "*dims"], rate: Float[Array, ""] | float | None) -> Float[Array, "*dims"]:
        if rate is None:
            return x
        kept = jax.random.bernoulli(self.make_rng("dropout"), 1 - rate, x.shape)
        return jnp.where(kept, x / jnp.asarray(1 - rate, x.dtype), 0)


def _residual_init(spec: GPT2Spec):
    """Return the initialiser of the kernels that end a block's two branches: std 0.02 / sqrt(2 depth), section 2.3."""
    return nn.initializers.normal(0.02 / math.sqrt(2 * spec.depth))


def _check_states(spec: GPT2Spec, states, memory) -> None:
    given = states is not None or memory is not None
    if given and not spec.cross_attention:
        raise ConfigError("states were given to a language model without cross-attention; build one with it")
    if spec.cross_attention and not given:
        raise ConfigError(
            "a language model with cross-attention needs states (b m d); pass them, or build one "
            "without cross-attention"
        )
    if states is not None and states.shape[-1] != spec.width:
        raise ConfigError(f"states of width {states.shape[-1]} do not fit a text of width {spec.width}; project them")
