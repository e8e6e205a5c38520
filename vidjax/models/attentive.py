"""The attentive pooler: a learned query attends to all tokens of a clip, after some blocks of self-attention.

Details follow V-JEPA 2 (arXiv:2506.09985; `src/models/attentive_pooler.py`), whose probes of frozen features have three
such blocks.
"""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from vidjax import ops
from vidjax.models import layers
from vidjax.models.macs import transformer_macs
from vidjax.models.vjepa2_blocks import Block, numbers, smaller

MLP_RATIO = 4


class AttentivePooler(nn.Module):
    """Pool the tokens of each row into one vector of the same width, in float32.

    Attributes:
      num_heads: attention heads.
      depth: blocks of self-attention over the tokens before the query attends to them.
      init_std: standard deviation of the initial query and kernels; kernels that end a residual branch start smaller,
        as in `Block`.
      unroll, remat: as in `ClipSpec`.
    """

    num_heads: int
    depth: int = 0
    norm_eps: float = 1e-5
    attention: str | None = None
    dtype: DTypeLike = jnp.float32
    init_std: float = 0.02
    unroll: int = 1
    remat: str = "none"

    @nn.compact
    def __call__(self, tokens: Float[Array, "b n d"]) -> Float[Array, "b d"]:
        d, x = tokens.shape[-1], tokens.astype(self.dtype)
        if self.depth:
            blocks = layers.stack_blocks(Block, self.depth, unroll=self.unroll, remat=self.remat)
            options = {"attention": self.attention, "dtype": self.dtype, "init_std": self.init_std}
            blocks = blocks(self.num_heads, MLP_RATIO * d, self.norm_eps, **options, name="blocks")
            x, _ = blocks(x, (None, numbers(self.depth)))
        init = nn.initializers.normal(self.init_std)
        query = self.param("query_token", init, (d,), jnp.float32).astype(self.dtype)
        query = jnp.broadcast_to(query, (len(x), 1, d))
        y = query + CrossAttention(self.num_heads, self.attention, self.dtype, self.init_std, name="cross_attn")(
            query, layers.LayerNorm(self.norm_eps, dtype=self.dtype, name="norm1")(x)
        )
        out_init = smaller(init, max(self.depth, 1))  # as in the last block
        mlp = layers.MLP(MLP_RATIO * d, False, self.dtype, init, out_init, name="mlp")
        y = y + mlp(layers.LayerNorm(self.norm_eps, dtype=self.dtype, name="norm2")(y))
        return y[:, 0].astype(jnp.float32)


class CrossAttention(nn.Module):
    """Queries attend to tokens, without an output projection."""

    num_heads: int
    implementation: str | None
    dtype: DTypeLike
    init_std: float

    @nn.compact
    def __call__(self, queries: Float[Array, "b q d"], tokens: Float[Array, "b n d"]) -> Float[Array, "b q d"]:
        def project(x, name):
            x = layers.Dense(x.shape[-1], self.dtype, nn.initializers.normal(self.init_std), name=name)(x)
            return x.reshape(*x.shape[:-1], self.num_heads, -1)

        q, k, v = project(queries, "query"), project(tokens, "key"), project(tokens, "value")
        return ops.attention(q, k, v, implementation=self.implementation).reshape(queries.shape)


def pooler_macs(tokens: int, width: int, depth: int) -> int:
    """Multiply-accumulates of an attentive pooler of `depth` blocks on `tokens` tokens."""
    blocks = transformer_macs(tokens, width, MLP_RATIO * width, depth)
    return blocks + 2 * tokens * (width**2 + width) + (1 + 2 * MLP_RATIO) * width**2
