"""CLIP's text tower: a causal transformer whose state at the end-of-text token represents the text (arXiv:2103.00020).

Details follow OpenAI's published models and `transformers`' `CLIPTextModelWithProjection`, without its projection.
"""

import dataclasses
import functools

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from vidjax import ops
from vidjax.models import layers
from vidjax.models.clip import ACTIVATIONS
from vidjax.models.compiled_init import CompiledInit
from vidjax.models.spec import check_choice
from vidjax.models.text_tower import TextTowerSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class CLIPTextSpec(TextTowerSpec):
    """The shape of a CLIP text tower.

    Attributes:
      activation: the MLPs' activation, one of `ACTIVATIONS`; OpenAI's models use "quick_gelu".
      end_token: id of the end-of-text token; None for the last one in the vocabulary.

    Raises:
      ConfigError: for an unknown activation, and as in `TextTowerSpec`.
    """

    vocab_size: int = 49408
    context: int = 77
    norm_eps: float = 1e-5
    activation: str = "quick_gelu"
    end_token: int | None = None

    def __post_init__(self):
        super().__post_init__()
        check_choice("activation", self.activation, tuple(ACTIVATIONS))

    @property
    def end(self) -> int:
        """The id of the end-of-text token."""
        return self.vocab_size - 1 if self.end_token is None else self.end_token

    def build(self) -> nn.Module:
        """See `TextTowerSpec`."""
        return CLIPText(self)


def _sizes(width: int, depth: int, num_heads: int) -> CLIPTextSpec:
    return CLIPTextSpec(width=width, depth=depth, num_heads=num_heads, mlp_dim=4 * width)


# arXiv:2103.00020, table 20, and the config.json files of openai/clip-vit-*; tiny: for tests.
CLIP_TEXT_SPECS = {
    "clip_tiny": dataclasses.replace(_sizes(64, 2, 4), vocab_size=1024, context=32),
    "clip_base": _sizes(512, 12, 8),
    "clip_large": _sizes(768, 12, 12),
}


class CLIPTextBlock(nn.Module):
    """Pre-norm transformer block with causal attention, written as a scan step: returns (x, None)."""

    spec: CLIPTextSpec

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"], layer: None = None) -> tuple[Float[Array, "b n d"], None]:
        del layer
        s, dtype = self.spec, jnp.dtype(self.spec.dtype)
        inner = nn.initializers.normal(s.width**-0.5 * (2 * s.depth) ** -0.5)
        causal = functools.partial(ops.attention, is_causal=True)
        attn = layers.Attention(
            s.num_heads, True, s.attention, dtype, nn.initializers.normal(s.width**-0.5), causal, inner, name="attn"
        )
        x = x + attn(layers.LayerNorm(s.norm_eps, dtype=dtype, name="norm1")(x))
        y = layers.LayerNorm(s.norm_eps, dtype=dtype, name="norm2")(x)
        y = layers.Dense(s.mlp_dim, dtype, nn.initializers.normal((2 * s.width) ** -0.5), name="fc1")(y)
        y = layers.Dense(s.width, dtype, inner, name="fc2")(ACTIVATIONS[s.activation](y))
        return x + y, None


class CLIPText(CompiledInit):
    """Encode texts.

    Each token sees itself and those before it, so what follows the end-of-text token does not change `pooled`.
    """

    spec: CLIPTextSpec

    def setup(self):
        s = self.spec
        self.token_embed = self.param("token_embed", layers.normal_002, (s.vocab_size, s.width), jnp.float32)
        self.pos_embed = self.param("pos_embed", nn.initializers.normal(0.01), (s.context, s.width), jnp.float32)
        self.blocks = layers.stack_blocks(CLIPTextBlock, s.depth, unroll=s.unroll, remat=s.remat)(s)
        self.norm = layers.LayerNorm(s.norm_eps)

    def __call__(self, tokens: Int[Array, "b n"], train: bool = False) -> dict[str, Array]:
        """Encode tokens.

        Returns:
          tokens (b n d), and pooled (b d), the state of each text's first end-of-text token; both float32, after the
          final norm.

        Raises:
          ConfigError: if the texts are too long.
        """
        del train  # nothing is dropped
        s = self.spec
        s.check_tokens(tokens)
        x = jnp.take(self.token_embed, tokens, axis=0) + self.pos_embed[: tokens.shape[1]]
        x, _ = self.blocks(x.astype(s.dtype), None)
        x = self.norm(x.astype(jnp.float32))
        place = (tokens == s.end).argmax(axis=1)
        return {"tokens": x, "pooled": jnp.take_along_axis(x, place[:, None, None], axis=1)[:, 0]}
