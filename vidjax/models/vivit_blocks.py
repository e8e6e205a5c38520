"""ViViT's blocks: attention over all tokens, within frames, over time then space, or over each with half of the heads.

Blocks are pre-norm, with the tanh GELU. Stochastic depth drops a branch for whole clips and does not rescale the clips
that keep it, as in the authors' code (scenic, `projects/vivit/model.py`).
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from einops import rearrange
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from vidjax import ops
from vidjax.models import layers

# The kernels of queries, keys, values and output are square, so this equals Xavier uniform for each of them.
square_xavier = nn.initializers.variance_scaling(1.0, "fan_in", "uniform")


def over_all(attention: nn.Module, x: Float[Array, "b *n d"]) -> Float[Array, "b *n d"]:
    """Apply attention over the tokens as given."""
    return attention(x)


def over_space(attention: nn.Module, x: Float[Array, "b t s d"]) -> Float[Array, "b t s d"]:
    """Apply attention within each frame."""
    return rearrange(attention(rearrange(x, "b t s d -> (b t) s d")), "(b t) s d -> b t s d", b=len(x))


class SplitHeadsAttention(nn.Module):
    """Model 4: the first half of the heads attends over time, the second within frames (section 3.3)."""

    num_heads: int
    implementation: str | None = None
    dtype: DTypeLike = jnp.float32
    kernel_init: Callable = square_xavier

    @nn.compact
    def __call__(self, x: Float[Array, "b t s d"]) -> Float[Array, "b t s d"]:
        b, t = x.shape[:2]
        half = self.num_heads // 2
        # Each half has separate products: on a TPU, cutting arrays in two and joining them copies them.
        qkv = layers.QKV(self.num_heads, True, self.dtype, self.kernel_init, name="qkv")
        x = rearrange(x, "b t s d -> b (t s) d")
        in_time = [rearrange(y, "b (t s) h e -> b t s h e", t=t) for y in qkv(x, slice(half))]
        in_time = ops.attention_over_time(*in_time, implementation=self.implementation)
        in_space = [rearrange(y, "b (t s) h e -> (b t) s h e", t=t) for y in qkv(x, slice(half, None))]
        in_space = ops.attention(*in_space, implementation=self.implementation)
        x = layers.HeadsOut(self.dtype, self.kernel_init, name="proj")(
            rearrange(in_time, "b t s h e -> b (t s) h e"), rearrange(in_space, "(b t) s h e -> b (t s) h e", b=b)
        )
        return rearrange(x, "b (t s) d -> b t s d", t=t)


class Block(nn.Module):
    """Models 1, 2 and 4: attention, then the MLP; written as a scan step.

    Attributes:
      attention_class: class of the module "attn".
      over: function that applies "attn" to the tokens, such as `over_all` or `over_space`.
    """

    num_heads: int
    mlp_dim: int
    norm_eps: float = 1e-6
    attention: str | None = None
    dtype: DTypeLike = jnp.float32
    attention_class: type[nn.Module] = layers.Attention
    over: Callable = over_all

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *n d"], drop_path: Float[Array, ""] | None = None
    ) -> tuple[Float[Array, "b *n d"], None]:
        attn = self.attention_class(
            self.num_heads,
            implementation=self.attention, dtype=self.dtype, kernel_init=square_xavier, name="attn",
        )  # fmt: skip
        y = layers.LayerNorm(self.norm_eps, dtype=self.dtype, name="norm1")(x)
        x = x + layers.DropPath(rescale=False)(self.over(attn, y), drop_path)
        y = layers.LayerNorm(self.norm_eps, dtype=self.dtype, name="norm2")(x)
        y = layers.MLP(self.mlp_dim, True, self.dtype, layers.xavier_uniform, name="mlp")(y)
        return x + layers.DropPath(rescale=False)(y, drop_path), None


class TimeSpaceBlock(nn.Module):
    """Model 3: attention over time, then within frames, then the MLP; nothing is dropped (section 3.3)."""

    num_heads: int
    mlp_dim: int
    norm_eps: float = 1e-6
    attention: str | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b t s d"], drop_path: None = None) -> tuple[Float[Array, "b t s d"], None]:
        del drop_path
        attention = partial(
            layers.Attention, self.num_heads,
            implementation=self.attention, dtype=self.dtype, kernel_init=square_xavier,
        )  # fmt: skip
        y = layers.LayerNorm(self.norm_eps, dtype=self.dtype, name="temporal_norm")(x)
        x = x + attention(attend=ops.attention_over_time, name="temporal_attn")(y)
        y = layers.LayerNorm(self.norm_eps, dtype=self.dtype, name="norm1")(x)
        x = x + over_space(attention(name="attn"), y)
        y = layers.LayerNorm(self.norm_eps, dtype=self.dtype, name="norm2")(x)
        return x + layers.MLP(self.mlp_dim, True, self.dtype, layers.xavier_uniform, name="mlp")(y), None
