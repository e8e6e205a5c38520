"""Attention to more keys than a TPU core can hold, with the splash-attention kernels that JAX ships.

Blocks of keys pass through a core one after another. This is slower than vidjax's own kernels, which hold all keys of a
head and are preferred if those fit in a core.
"""

import functools

import jax.numpy as jnp
from einops import rearrange
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel, splash_attention_mask
from jax.sharding import PartitionSpec as P

from vidjax.ops.attention.mesh import on_each_device, shares

QUERIES, KEYS = 1024, 2048  # the most tokens per block
STEP = 256  # blocks are multiples of this many tokens, so that their halves fill whole registers


def attend(q, k, v, scale: float, name: str):
    """Compute the attention of q (b n h d) to k and v (b m h d), with rows and heads sharded over the mesh.

    Args:
      name: the name by which rematerialisation policies select the arrays that the forward pass saves.

    Returns:
      an array like q.
    """
    rows, tensor, _ = shares(q.shape[0], q.shape[2])
    spec = P(rows, None, tensor, None)
    return on_each_device(functools.partial(_attend, scale=scale, name=name), (spec,) * 3, spec)(q, k, v)


def _attend(q, k, v, scale, name):
    (b, n, h, _), m = q.shape, k.shape[1]
    queries, keys = block_of(n, QUERIES), block_of(m, KEYS)
    q, k, v = _heads_first(q * scale, queries), _heads_first(k, keys), _heads_first(v, keys)
    everything = splash_attention_mask.FullMask((q.shape[1], k.shape[1]))
    attend = splash_attention_kernel.make_splash_mha_single_device(
        splash_attention_mask.MultiHeadMask([everything] * (b * h)),
        block_sizes=splash_attention_kernel.BlockSizes(
            block_q=queries,
            block_kv=keys,
            block_kv_compute=keys // 2,
            block_q_dkv=queries,
            block_kv_dkv=keys,
            block_kv_dkv_compute=STEP,
            block_q_dq=queries // 2,
            block_kv_dq=keys,
        ),
        residual_checkpoint_name=name,
    )
    return rearrange(attend(q, k, v, _segments(q, k, m))[:, :n], "(b h) n d -> b n h d", h=h)


def block_of(length: int, most: int) -> int:
    """Return the tokens per block: the least multiple of `STEP` that needs no more blocks than `most` would."""
    count = -(-length // most)
    return -(-length // (count * STEP)) * STEP


def _heads_first(x, block: int):
    """Turn (b n h d) into (b*h n' d): rows count as heads, and zeros fill the last block of tokens."""
    return jnp.pad(rearrange(x, "b n h d -> (b h) n d"), ((0, 0), (0, -x.shape[1] % block), (0, 0)))


def _segments(q, k, m: int):
    """Put queries and the first m keys into one segment, and padding keys into another; None if there is no padding."""
    if k.shape[1] == m:
        return None
    return splash_attention_kernel.SegmentIds(
        jnp.zeros(q.shape[1], jnp.int32), (jnp.arange(k.shape[1]) >= m).astype(jnp.int32)
    )
