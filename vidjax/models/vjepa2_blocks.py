"""V-JEPA 2's blocks: pre-norm, with rotary positions in the encoder and predictor, and with none in the pooler."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from vidjax import ops
from vidjax.models import layers

Tables = tuple[Float[Array, "*b n e"], Float[Array, "*b n e"]]  # from `ops.rotary_3d`


class Block(nn.Module):
    """Attention, then an MLP; written as a scan step.

    Initial kernels that write to the residual stream are divided by the square root of twice the block's number, as in
    the authors' `_rescale_blocks` (`src/models/vision_transformer.py:139`).

    Attributes:
      init_std: standard deviation of initial kernels, before that division.
    """

    num_heads: int
    mlp_dim: int
    norm_eps: float = 1e-6
    attention: str | None = None
    dtype: DTypeLike = jnp.float32
    init_std: float = 0.02

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b n d"],
        layer: tuple[Float[Array, ""] | None, Float[Array, ""]],
        tables: Tables | None = None,
    ) -> tuple[Float[Array, "b n d"], None]:
        """Return x and None.

        Args:
          layer: the rate of drop path, or None, and the block's number from 1.
          tables: rotary positions of the n tokens; None for no rotation.
        """
        drop_path, number = layer
        init = nn.initializers.normal(self.init_std)
        out_init = smaller(init, number)
        attend = ops.attention if tables is None else functools.partial(_attend_rotated, tables)
        attn = layers.Attention(
            self.num_heads, True, self.attention, self.dtype, init, attend=attend, out_init=out_init, name="attn"
        )
        x = x + layers.DropPath()(attn(layers.LayerNorm(self.norm_eps, dtype=self.dtype, name="norm1")(x)), drop_path)
        y = layers.LayerNorm(self.norm_eps, dtype=self.dtype, name="norm2")(x)
        y = layers.MLP(self.mlp_dim, False, self.dtype, init, out_init, name="mlp")(y)
        return x + layers.DropPath()(y, drop_path), None


def smaller(init: Callable, number: Any) -> Callable:
    """Divide an initialiser's values by the square root of twice a block's number."""
    return lambda key, shape, dtype=jnp.float32: init(key, shape, dtype) / jnp.sqrt(2.0 * number).astype(dtype)


def numbers(depth: int) -> Float[np.ndarray, " depth"]:
    """Return the blocks' numbers, from 1."""
    return np.arange(1, depth + 1, dtype=np.float32)


def _attend_rotated(tables: Tables, q: Array, k: Array, v: Array, **options: Any) -> Array:
    return ops.attention(ops.rotate(q, *tables), ops.rotate(k, *tables), v, **options)
