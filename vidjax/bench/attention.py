"""Time the attention of VideoMAE's encoder (visible tokens) and decoder (all tokens) against PyTorch's."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from vidjax import ops
from vidjax.bench import peers
from vidjax.bench.race import race
from vidjax.bench.report import Row, times
from vidjax.bench.settings import Settings, compute_dtype
from vidjax.bench.step import MASK_RATIO, batch_size, repeat
from vidjax.models.videomae import VIDEOMAE_SPECS

NOTE = ""  # the table needs no note


def measure(settings: Settings) -> list[Row]:
    """Measure the milliseconds per call for the shapes of each size."""
    rows, dtype = [], compute_dtype(settings)
    for size in settings.sizes:
        spec, batch = VIDEOMAE_SPECS[size], batch_size(size, settings)
        visible = spec.num_tokens - ops.num_masked(spec.grid, MASK_RATIO, "tube")
        shapes = {
            "encoder": (batch, visible, spec.num_heads, spec.width // spec.num_heads),
            "decoder": (batch, spec.num_tokens, spec.decoder_heads, spec.decoder_width // spec.decoder_heads),
        }
        for part, shape in shapes.items():
            rows += _measure(f"attention of videomae_{size}'s {part} {shape} {dtype}", shape, dtype, settings)
    return rows


def _measure(name: str, shape: tuple[int, int, int, int], dtype: str, settings: Settings) -> list[Row]:
    keys = jax.random.split(jax.random.key(0), 4)
    q, k, v, cotangent = (jax.random.normal(key, shape, jnp.dtype(dtype)) for key in keys)

    def attend(q, k, v):
        return ops.attention(q, k, v, implementation=settings.attention or None)

    def backward(q, k, v, cotangent):
        out, pull = jax.vjp(attend, q, k, v)
        return out, pull(cotangent)

    one_way, both_ways = jax.jit(attend), jax.jit(backward)
    ours = {
        "forward": repeat(lambda: one_way(q, k, v)),
        "forward + backward": repeat(lambda: both_ways(q, k, v, cotangent)),
    }
    theirs, rows = peers.attention(shape, dtype), []
    for what, run in ours.items():
        contenders = {"vidjax": run} | {who: calls[what] for who, calls in theirs.items()}
        seconds = race(contenders, settings.rounds, peers=theirs, remark=settings.remark)
        rows += times(f"{name}, {what}", seconds.pop("vidjax"), seconds)
    return rows
