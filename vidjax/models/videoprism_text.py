"""VideoPrism's text tower: a causal transformer; the class token comes last, so that it sees the whole text.

Details follow the authors' code (google-deepmind/videoprism, `TextEncoder`).
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from vidjax.models import layers
from vidjax.models.compiled_init import CompiledInit
from vidjax.models.macs import transformer_macs
from vidjax.models.spec import check_choice
from vidjax.models.text_tower import TextTowerSpec
from vidjax.models.videoprism import VideoPrismBlock, sine_positions
from vidjax.ops.attention.capped import CAPPED

POSITIONS = ("authors", "transformers")  # whose frequencies; see `sine_positions`


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoPrismTextSpec(TextTowerSpec):
    """The shape of a VideoPrism text tower.

    Attributes:
      logit_cap: greatest absolute value of an attention logit.
      pad: id of the padding token.
      positions: whose frequencies the sine positions have, one of `POSITIONS`; those of `transformers` differ from
        those that the authors trained with.

    Raises:
      ConfigError: for unknown positions, an attention that cannot cap its logits, and as in `TextTowerSpec`.
    """

    vocab_size: int = 32000
    context: int = 64
    logit_cap: float = 50.0
    pad: int = 0
    positions: str = "authors"

    def __post_init__(self):
        super().__post_init__()
        check_choice("positions", self.positions, POSITIONS)
        if self.attention is not None:
            check_choice("attention", self.attention, tuple(CAPPED))

    def build(self) -> nn.Module:
        """See `TextTowerSpec`."""
        return VideoPrismText(self)

    @property
    def macs(self) -> int:
        """See `TextTowerSpec`; the class token makes a text one token longer."""
        return transformer_macs(self.context + 1, self.width, self.mlp_dim, self.depth)


def _sizes(width: int, num_heads: int, depth: int = 12) -> VideoPrismTextSpec:
    return VideoPrismTextSpec(width=width, depth=depth, num_heads=num_heads, mlp_dim=4 * width)


# The authors' models.py; tiny: for tests.
VIDEOPRISM_TEXT_SPECS = {
    "videoprism_tiny": dataclasses.replace(_sizes(96, 4, 2), vocab_size=1000, context=32),
    "videoprism_base": _sizes(768, 12),
    "videoprism_large": _sizes(1024, 16),
}


class VideoPrismText(CompiledInit):
    """Encode texts; each token sees itself and those before it, but no padding."""

    spec: VideoPrismTextSpec

    def setup(self):
        s = self.spec
        init = nn.initializers.normal(s.width**-0.5)
        self.token_embed = self.param("token_embed", init, (s.vocab_size, s.width), jnp.float32)
        self.cls_token = self.param("cls_token", init, (s.width,), jnp.float32)
        blocks = layers.stack_blocks(
            VideoPrismBlock, s.depth, unroll=s.unroll, remat=s.remat, in_axes=(0, nn.broadcast)
        )
        self.blocks = blocks(
            s.num_heads, s.mlp_dim, s.logit_cap, s.norm_eps, jax.nn.relu, s.attention, jnp.dtype(s.dtype)
        )
        self.norm = layers.LayerNorm(s.norm_eps)

    def __call__(self, tokens: Int[Array, "b n"], train: bool = False) -> dict[str, Array]:
        """Encode tokens.

        Returns:
          tokens (b n d) and pooled (b d), the class token; both float32, after the final norm.

        Raises:
          ConfigError: if the texts are too long.
        """
        del train  # nothing is dropped
        s = self.spec
        s.check_tokens(tokens)
        b, n = tokens.shape
        positions = sine_positions(n, s.width, last=s.positions == "authors")
        x = jnp.take(self.token_embed, tokens, axis=0) * s.width**0.5 + positions
        cls = jnp.broadcast_to(self.cls_token * s.width**0.5, (b, 1, s.width))
        seen = jnp.concatenate([tokens != s.pad, jnp.ones((b, 1), bool)], axis=1)
        # A padding token sees at least itself, so that no row of logits is empty; no other token sees it.
        mask = jnp.tril(jnp.ones((n + 1, n + 1), bool)) & seen[:, None] | jnp.eye(n + 1, dtype=bool)
        x, _ = self.blocks(jnp.concatenate([x, cls], axis=1).astype(s.dtype), None, mask[:, None])
        x = self.norm(x.astype(jnp.float32))
        return {"tokens": x[:, :-1], "pooled": x[:, -1]}
