"""Read, write and loop over the tokens of a chunk (t b d) in the bodies of TPU kernels.

A register holds 8 rows, on sublanes, and 128 channels, on lanes. If the batch has fewer rows, parts of the channels are
stacked to make more.
"""

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

LANES = 128
UNROLL = 8  # tokens; chunks are multiples of this


def valid_tokens(tokens, length, flipped):
    """Return the number of tokens from the start of this chunk to the end of the sequence."""
    chunk = pl.program_id(2)
    return length - tokens * (pl.num_programs(2) - 1 - chunk if flipped else chunk)


def locate(lanes, x, A, valid, channels):
    """Return, for each part, the slice of a token's channels with these lanes, and how many tokens exist there."""
    width = A.shape[2]
    starts = [lanes.start + width * part for part in range(x.shape[2] // width)]
    before = x.shape[2] * pl.program_id(1)
    return [(pl.ds(start, LANES), jnp.where(before + start < channels, valid, 0)) for start in starts]


def load(ref, t, parts, nothing=0.0):
    """Load a token in float32 with its parts stacked; parts that do not exist in the array become `nothing`."""
    return jnp.concatenate([jnp.where(t < valid, ref[t, :, at].astype(jnp.float32), nothing) for at, valid in parts])


def store(ref, t, parts, token):
    for (at, _), rows in zip(parts, jnp.split(token, len(parts)), strict=True):
        ref[t, :, at] = rows.astype(ref.dtype)


def for_all_channels(function, width):
    function(pl.ds(0, LANES), first=True)

    def others(i, _):
        function(pl.ds(pl.multiple_of(i * LANES, LANES), LANES), first=False)

    jax.lax.fori_loop(1, width // LANES, others, None)


def for_groups(function, channels, width):
    """Call `function` with the slices of lanes of each group of `width` channels."""

    def group(i, _):
        function([pl.ds(pl.multiple_of(i * width + lane, LANES), LANES) for lane in range(0, width, LANES)])

    jax.lax.fori_loop(0, channels // width, group, None)


def loop(tokens, body, carry, unroll=UNROLL):
    def turn(i, carry):
        return jax.lax.fori_loop(0, unroll, lambda j, carry: body(i * unroll + j, carry), carry, unroll=True)

    return jax.lax.fori_loop(0, tokens // unroll, turn, carry)
