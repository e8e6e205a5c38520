"""`TextTowerSpec`, the base class of the specs of text towers, which embed texts to compare them with videos."""

import abc
import dataclasses

import flax.linen as nn
from jaxtyping import Array, Int

from vidjax.errors import ConfigError
from vidjax.models import layers
from vidjax.models.macs import transformer_macs
from vidjax.models.spec import check_choice, check_heads, check_sizes


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextTowerSpec(abc.ABC):
    """The shape of a text tower.

    Attributes:
      width, depth, num_heads, mlp_dim: size of the blocks.
      vocab_size: number of tokens in the vocabulary.
      context: the maximum number of tokens in a text, including those that mark its start and end.
      norm_eps: epsilon of every norm.
      dtype: compute dtype, float32 or bfloat16; parameters are float32.
      remat: what the backward pass recomputes, one of `layers.REMAT`.
      unroll: a stack of at most this many layers runs without a loop.
      attention: an implementation of `vidjax.ops.attention`; None chooses by platform.

    Raises:
      ConfigError: for a size below 1, if the heads do not divide the width, or for an unknown `dtype` or `remat`.
    """

    width: int
    depth: int
    num_heads: int
    mlp_dim: int
    vocab_size: int
    context: int
    norm_eps: float = 1e-6
    dtype: str = "float32"
    remat: str = "none"
    unroll: int = 1
    attention: str | None = None

    def __post_init__(self):
        check_sizes(self)
        check_heads("", self.width, self.num_heads)
        check_choice("dtype", self.dtype, ("float32", "bfloat16"))
        check_choice("remat", self.remat, layers.REMAT)

    @abc.abstractmethod
    def build(self) -> nn.Module:
        """Build the tower.

        Its call takes tokens (b n) and returns `tokens` (b n d) and `pooled` (b d), both after the final norm.
        """

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one text of `context` tokens."""
        return transformer_macs(self.context, self.width, self.mlp_dim, self.depth)

    def check_tokens(self, tokens: Int[Array, "b n"]) -> None:
        """Reject texts longer than the tower's context.

        Raises:
          ConfigError: if they have more than `context` tokens.
        """
        if tokens.shape[1] > self.context:
            raise ConfigError(
                f"texts of {tokens.shape[1]} tokens do not fit a text tower with context={self.context}; shorten them, "
                f"or build the tower with context={tokens.shape[1]}"
            )
