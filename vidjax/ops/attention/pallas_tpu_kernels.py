"""Attention on a TPU core as two Pallas kernels: keys and values of a few heads stay in VMEM, logits never leave it.

Logits are held transposed, (keys, queries): the softmax reduces over sublanes, its statistics are rows, and weights are
the stationary operand of every product whose other side is only as wide as a head, so that half the matrix unit is idle
in the products that make logits alone. A step of the grid takes one row of the batch and as many heads as fill
whole lanes; it walks over (tile of queries, head) and computes the logits of the next pair while it uses this one's.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

LANES, SUBLANES = 128, 16  # of a register of bfloat16
TILE = 256  # queries; both halves of a tile keep the four matrix units busy
CHUNK = 512  # keys, at most, whose logits are used at a time
LOG2_E = 1.4426950408889634
_NT = (((1,), (1,)), ((), ()))  # a b^T


def heads_at_once(heads: int, d: int) -> int:
    """The fewest heads whose channels fill whole lanes, or all of them."""
    return next((k for k in range(1, heads) if heads % k == 0 and k * d % LANES == 0), heads)


def padded(n: int, multiple: int) -> int:
    """The next multiple."""
    return -(-n // multiple) * multiple


def vmem_bytes(q, k, heads: int) -> int:
    """What the backward kernel keeps in VMEM: blocks of its operands and results twice, and its scratch."""
    (n, m), width, d = (q.shape[1], k.shape[1]), q.dtype.itemsize, q.shape[-1] // heads
    at_once, rows, keys = heads_at_once(heads, d), padded(n, TILE), padded(m, LANES)
    blocks = 2 * width * padded(at_once * d, LANES) * 4 * (n + m)
    transposed = at_once * d * (rows * (2 * width + 4) + keys * (width + 8))
    split = 2 * at_once * keys * padded(d, LANES) * width
    return blocks + transposed + split + 4 * min(keys, CHUNK) * TILE * 4


def forward(q, k, v, heads: int, scale: float, segment: int = 0):
    """Attention of q (b n h*d) to k, v (b m h*d), heads side by side.

    With a `segment`, a power of two, the up to `TILE` tokens are sequences of that many that do not see each other.

    Returns:
      out, like q; and (b h n) float32, the base-2 logarithm of each query's sum of exponentials.
    """
    b, d, at_once, groups, rows, keys = _sizes(q, k, heads)
    out, lse = pl.pallas_call(
        functools.partial(_forward_kernel, scale=scale, segment=segment),
        grid=(b, groups),
        in_specs=[_block(q, groups), _block(k, groups), _block(v, groups)],
        out_specs=[_block(q, groups), _statistics_block(at_once, rows)],
        out_shape=[
            jax.ShapeDtypeStruct(q.shape, q.dtype),
            jax.ShapeDtypeStruct((b, groups, at_once, rows), jnp.float32),
        ],
        scratch_shapes=[
            pltpu.VMEM((at_once, d, rows), q.dtype),
            pltpu.VMEM((at_once, keys, d), k.dtype),
            pltpu.VMEM((at_once, d, keys), v.dtype),
            pltpu.VMEM((at_once, d, rows), q.dtype),
            pltpu.VMEM((keys, TILE), jnp.float32),
        ],
        compiler_params=_parameters(q, k, heads),
        cost_estimate=_cost(q, k, heads, products=2, arrays=2),
        name="attention_forward",
    )(q, k, v)
    return out, lse.reshape(b, heads, rows)[:, :, : q.shape[1]]


def backward(q, k, v, out, lse, dout, heads: int, scale: float, segment: int = 0):
    """The gradients of q, k and v, from what `forward` took and returned and the gradient of its first result."""
    b, d, at_once, groups, rows, keys = _sizes(q, k, heads)
    lse = jnp.pad(lse, ((0, 0), (0, 0), (0, rows - q.shape[1]))).reshape(b, groups, at_once, rows)
    return pl.pallas_call(
        functools.partial(_backward_kernel, scale=scale, segment=segment),
        grid=(b, groups),
        in_specs=[
            *(_block(x, groups) for x in (q, k, v, out)),
            _statistics_block(at_once, rows),
            _block(dout, groups),
        ],
        out_specs=[_block(x, groups) for x in (q, k, v)],
        out_shape=[jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (q, k, v)],
        scratch_shapes=[
            pltpu.VMEM((at_once, d, rows), q.dtype),
            pltpu.VMEM((at_once, d, rows), q.dtype),
            pltpu.VMEM((at_once, keys, d), k.dtype),
            pltpu.VMEM((at_once, keys, d), k.dtype),
            pltpu.VMEM((at_once, d, keys), k.dtype),
            pltpu.VMEM((at_once, 1, rows), jnp.float32),
            pltpu.VMEM((at_once, d, rows), jnp.float32),
            pltpu.VMEM((at_once, d, keys), jnp.float32),
            pltpu.VMEM((at_once, d, keys), jnp.float32),
            pltpu.VMEM((2, min(keys, CHUNK), TILE), jnp.float32),
            pltpu.VMEM((2, min(keys, CHUNK), TILE), jnp.float32),
        ],
        compiler_params=_parameters(q, k, heads),
        cost_estimate=_cost(q, k, heads, products=5, arrays=4),
        name="attention_backward",
    )(q, k, v, out, lse, dout)


def _forward_kernel(q_ref, k_ref, v_ref, out_ref, lse_ref, q_t, k_heads, v_t, out_t, logits, *, scale, segment):
    n, m, (heads, d, rows), keys = q_ref.shape[1], k_ref.shape[1], q_t.shape, k_heads.shape[1]
    _transpose_heads(q_ref[0], q_t)
    _transpose_heads(v_ref[0], v_t)
    _split_heads(k_ref[0], k_heads)
    steps = rows // TILE * heads

    def score(step, chunk):
        h, queries = _place(step, heads)
        s = jnp.dot(k_heads[h, chunk], q_t[h, :, queries], preferred_element_type=jnp.float32)
        logits[chunk] = s = _hide(s, chunk, m, segment)
        return s.max(axis=0, keepdims=True)

    def use(step, top):
        h, queries = _place(step, heads)
        total, out = jnp.zeros_like(top), jnp.zeros((d, TILE), jnp.float32)
        next_top = jnp.full_like(top, -jnp.inf)
        for chunk in _chunks(keys):
            # Read, then overwritten with logits of the next step: the two share memory, and so take turns.
            weights = jnp.exp2((logits[chunk] - top) * (scale * LOG2_E))
            next_top = jnp.maximum(next_top, score(jnp.minimum(step + 1, steps - 1), chunk))
            total += weights.sum(axis=0, keepdims=True)
            out += jnp.dot(v_t[h, :, chunk], weights.astype(v_t.dtype), preferred_element_type=jnp.float32)
        out_t[h, :, queries] = (out / total).astype(out_t.dtype)
        lse_ref[0, 0, pl.ds(h, 1), queries] = top * (scale * LOG2_E) + jnp.log2(total)
        return next_top

    top = jnp.full((1, TILE), -jnp.inf, jnp.float32)
    for chunk in _chunks(keys):
        top = jnp.maximum(top, score(0, chunk))
    lax.fori_loop(0, steps, use, top)
    out_ref[0] = _join_heads(out_t[...], n)


def _backward_kernel(
    q_ref, k_ref, v_ref, out_ref, lse_ref, dout_ref, dq_ref, dk_ref, dv_ref,
    q_t, dout_t, k_heads, v_heads, k_t, inner, dq_t, dk_t, dv_t, logits, dweights, *, scale, segment,
):  # fmt: skip
    n, m, (heads, d, rows), keys = q_ref.shape[1], k_ref.shape[1], q_t.shape, k_heads.shape[1]
    dtype = q_t.dtype
    _transpose_heads(q_ref[0], q_t)
    _transpose_heads(dout_ref[0], dout_t)
    _transpose_heads(k_ref[0], k_t)
    _split_heads(k_ref[0], k_heads)
    _split_heads(v_ref[0], v_heads)
    _transpose_heads(out_ref[0].astype(jnp.float32), dq_t)  # its place is not needed yet
    inner[...] = jnp.sum(dq_t[...] * dout_t[...].astype(jnp.float32), axis=1, keepdims=True)
    dk_t[...] = jnp.zeros_like(dk_t)
    dv_t[...] = jnp.zeros_like(dv_t)
    steps, chunks = rows // TILE * heads, _chunks(keys)

    def score(step, number):
        h, queries = _place(step, heads)
        chunk, place = chunks[number], (number % 2, slice(0, chunks[number].stop - chunks[number].start))
        s = jnp.dot(k_heads[h, chunk], q_t[h, :, queries], preferred_element_type=jnp.float32)
        logits[place] = _hide(s, chunk, m, segment)
        dweights[place] = jnp.dot(v_heads[h, chunk], dout_t[h, :, queries], preferred_element_type=jnp.float32)

    def use(step, _):
        h, queries = _place(step, heads)
        lse, shift, dq = lse_ref[0, 0, pl.ds(h, 1), queries], inner[h, :, queries], jnp.zeros((d, TILE), jnp.float32)
        for number, chunk in enumerate(chunks):
            place = number % 2, slice(0, chunk.stop - chunk.start)
            s, dw = logits[place], dweights[place]
            if number + 1 < len(chunks):
                score(step, number + 1)
            else:
                score(jnp.minimum(step + 1, steps - 1), 0)
            weights = jnp.exp2(s * (scale * LOG2_E) - lse)
            ds = (weights * (dw - shift)).astype(dtype)
            dv_t[h, :, chunk] += _dot_nt(dout_t[h, :, queries], weights.astype(dtype))
            dk_t[h, :, chunk] += _dot_nt(q_t[h, :, queries], ds)
            dq += jnp.dot(k_t[h, :, chunk], ds, preferred_element_type=jnp.float32)
        dq_t[h, :, queries] = dq
        return 0

    score(0, 0)
    lax.fori_loop(0, steps, use, 0)
    dq_ref[0] = _join_heads((dq_t[...] * scale).astype(dtype), n)
    dk_ref[0] = _join_heads((dk_t[...] * scale).astype(dtype), m)
    dv_ref[0] = _join_heads(dv_t[...].astype(dtype), m)


def _place(step, heads):
    """Head and queries of a step."""
    return lax.rem(step, heads), pl.ds(pl.multiple_of(lax.div(step, heads) * TILE, TILE), TILE)


def _chunks(keys: int) -> list[slice]:
    """An even number of chunks if there is more than one tile, so that each step begins with the same buffer."""
    tiles = -(-keys // LANES)
    count = min(tiles, 2 * -(-tiles * LANES // (2 * CHUNK)))
    edges = [min(keys, round(tiles * i / count) * LANES) for i in range(count + 1)]
    return list(itertools.starmap(slice, itertools.pairwise(edges)))


def _hide(logits, chunk: slice, m: int, segment: int):
    """Keys from the m-th on do not exist; others are of another segment than the query."""
    key, query = (lax.broadcasted_iota(jnp.int32, logits.shape, axis) for axis in range(2))
    if chunk.stop > m:
        logits = jnp.where(key < m - chunk.start, logits, -jnp.inf)
    if segment:
        # Equal but for the bits within a segment, whose length is a power of two.
        logits = jnp.where((key + chunk.start) ^ query < segment, logits, -jnp.inf)
    return logits


def _transpose_heads(x, ref):
    """Write (n, h d) to (h, d, n'), zeros beyond n."""
    n, (heads, d, rows) = x.shape[0], ref.shape
    x = x.T
    if rows > n:
        x = jnp.concatenate([x, jnp.zeros((x.shape[0], rows - n), x.dtype)], axis=1)
    for h in range(heads):
        ref[h] = x[h * d : (h + 1) * d]


def _split_heads(x, ref):
    """Write (m, h d) to (h, m', d), zeros beyond m."""
    m, (heads, keys, d) = x.shape[0], ref.shape
    for h in range(heads):
        if keys > m:
            ref[h, keys - SUBLANES :] = jnp.zeros((SUBLANES, d), x.dtype)
        ref[h, :m] = x[:, h * d : (h + 1) * d]


def _join_heads(x, n: int):
    """(h, d, n') to (n, h d)."""
    return x.reshape(-1, x.shape[-1]).T[:n]


def _dot_nt(a, b):
    return lax.dot_general(a, b, _NT, preferred_element_type=jnp.float32)


def _sizes(q, k, heads: int):
    d, at_once = q.shape[-1] // heads, heads_at_once(heads, q.shape[-1] // heads)
    return q.shape[0], d, at_once, heads // at_once, padded(q.shape[1], TILE), padded(k.shape[1], SUBLANES)


def _block(x, groups: int) -> pl.BlockSpec:
    return pl.BlockSpec((1, x.shape[1], x.shape[2] // groups), lambda row, group: (row, 0, group))


def _statistics_block(at_once: int, rows: int) -> pl.BlockSpec:
    return pl.BlockSpec((1, 1, at_once, rows), lambda row, group: (row, group, 0, 0))


def _parameters(q, k, heads: int) -> pltpu.CompilerParams:
    needed = vmem_bytes(q, k, heads)
    return pltpu.CompilerParams(dimension_semantics=("parallel", "parallel"), vmem_limit_bytes=needed + needed // 2)


def _cost(q, k, heads: int, *, products: int, arrays: int) -> pl.CostEstimate:
    b, (n, width), m = q.shape[0], q.shape[1:], k.shape[1]
    return pl.CostEstimate(
        flops=2 * products * b * n * m * width,
        transcendentals=b * heads * n * m,
        bytes_accessed=arrays * b * (n + m) * width * q.dtype.itemsize,
    )
