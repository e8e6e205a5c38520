"""Attention to more keys than a TPU core holds, by the splash-attention kernels that JAX ships.

Blocks of keys pass through a core one after another. They are slower than vidjax's own kernels, which keep all keys of
a head: these come first where they fit.
"""

import functools

import jax.numpy as jnp
from einops import rearrange
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel, splash_attention_mask
from jax.sharding import PartitionSpec as P

from vidjax.ops.attention.mesh import on_each_device, shares

QUERIES, KEYS = 1024, 2048  # of a block, at most
STEP = 256  # tokens that blocks are multiples of, so that their halves fill whole registers


def attend(q, k, v, scale: float, name: str):
    """Attention of q (b n h d) to k, v (b m h d), like q; rows and heads are divided over a mesh.

    Args:
      name: of what the forward pass saves, for rematerialisation policies.
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
    """Tokens of a block: a multiple of `STEP`, of which as few blocks as can be hold so many tokens and little more."""
    count = -(-length // most)
    return -(-length // (count * STEP)) * STEP


def _heads_first(x, block: int):
    """(b n h d) to (b*h n' d), rows of the batch as further heads; zeros up to a whole number of blocks of tokens."""
    return jnp.pad(rearrange(x, "b n h d -> (b h) n d"), ((0, 0), (0, -x.shape[1] % block), (0, 0)))


def _segments(q, k, m: int):
    """All queries are of the first m keys' segment, keys from the m-th on of another; None if there are none."""
    if k.shape[1] == m:
        return None
    return splash_attention_kernel.SegmentIds(
        jnp.zeros(q.shape[1], jnp.int32), (jnp.arange(k.shape[1]) >= m).astype(jnp.int32)
    )
