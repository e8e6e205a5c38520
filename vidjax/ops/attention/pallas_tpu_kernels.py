"""Attention on a TPU core as two Pallas kernels that keep the keys, values and logits of a few heads in VMEM.

Logits are stored transposed, as (keys, queries). The softmax then reduces over sublanes, and its statistics are rows.
A head is narrower than the matrix unit, and leaves half of it idle if it is the stationary operand of a product. In
products with attention weights, these are therefore stationary; only the products that compute logits leave half idle.

A grid step takes a few batch rows and the fewest heads whose channels fill whole lanes. It works in turns. A turn takes
two tiles of 128 queries, of two heads or of one, and computes the next turn's logits while it uses its own.
"""

import functools
import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

LANES, SUBLANES = 128, 16  # of a bfloat16 register
PAIR = 2 * LANES  # queries per turn: two tiles keep the four matrix units busy
SHORT = 4096  # turns are unrolled if turns * keys is at most this, so that one turn's work hides another's latency
PARTS = 16  # the most groups of places in a grid step
CHUNK = 512  # the most keys whose logits are used at a time
LOG2_E = 1.4426950408889634
_NT = (((1,), (1,)), ((), ()))  # a b^T


def heads_at_once(heads: int, d: int) -> int:
    """Return the fewest heads that divide all heads evenly and whose channels fill whole lanes, or else all heads."""
    return next((k for k in range(1, heads) if heads % k == 0 and k * d % LANES == 0), heads)


def padded(n: int, multiple: int) -> int:
    """Round n up to a multiple of `multiple`."""
    return -(-n // multiple) * multiple


def vmem_bytes(q, k, heads: int, places: int = 0) -> int:
    """Return the bytes that the backward kernel keeps in VMEM: scratch, and two blocks for each operand and result."""
    sizes, (n, m), width = _sizes(q, k, heads, places), (_tokens(x, places) for x in (q, k)), q.dtype.itemsize
    d, at_once, keys = sizes.d, sizes.heads, padded(m, LANES)
    blocks = 2 * width * padded(at_once * d, LANES) * 4 * (n + m)
    transposed = at_once * d * (sizes.queries * (2 * width + 4) + keys * (width + 8))
    split = 2 * at_once * keys * padded(d, LANES) * width
    return sizes.rows * sizes.parts * (blocks + transposed + split) + 4 * min(keys, CHUNK) * PAIR * 4


def forward(q, k, v, heads: int, scale: float, places: int = 0):
    """Compute the attention of q (b n h*d) to k and v (b m h*d), with heads side by side.

    If `places` is not 0, it is a power of two, operands are (b t s h*d), and a token attends only to the t tokens of
    its own place. The kernel treats the tokens of `places` places as one sequence and masks logits between places.

    Returns:
      out, like q; and, as float32 (b h n), the base-2 logarithm of each query's sum of exponentials. With `places`, the
      logarithms are in the kernel's order of queries, as `backward` expects.
    """
    sizes = _sizes(q, k, heads, places)
    at_once, d, queries, keys = sizes.rows * sizes.parts * sizes.heads, sizes.d, sizes.queries, sizes.keys
    out, lse = pl.pallas_call(
        functools.partial(_forward_kernel, scale=scale, places=places, size=q.shape[2]),
        grid=sizes.grid,
        in_specs=[_block(x, sizes, places) for x in (q, k, v)],
        out_specs=[_block(q, sizes, places), _statistics_block(sizes)],
        out_shape=[jax.ShapeDtypeStruct(q.shape, q.dtype), _statistics(q, sizes)],
        scratch_shapes=[
            pltpu.VMEM((at_once, d, queries), q.dtype),
            pltpu.VMEM((at_once, keys, d), k.dtype),
            pltpu.VMEM((at_once, d, keys), v.dtype),
            pltpu.VMEM((at_once, d, queries), q.dtype),
            pltpu.VMEM((at_once, 1, queries), jnp.float32),
            pltpu.VMEM((2, keys, LANES), jnp.float32),
        ],
        compiler_params=_parameters(q, k, heads, places),
        cost_estimate=_cost(q, k, heads, products=2, arrays=2),
        name="attention_forward",
    )(q, k, v)
    lse = lse.reshape(len(lse), heads, -1)
    return out, lse if places else lse[:, :, : q.shape[1]]


def backward(q, k, v, out, lse, dout, heads: int, scale: float, places: int = 0):
    """Compute the gradients of q, k and v, given the operands and results of `forward` and the gradient of `out`."""
    sizes = _sizes(q, k, heads, places)
    at_once, d, queries, keys = sizes.rows * sizes.parts * sizes.heads, sizes.d, sizes.queries, sizes.keys
    statistics = _statistics(q, sizes).shape
    lse = jnp.pad(lse, ((0, 0), (0, 0), (0, statistics[-1] - lse.shape[-1]))).reshape(statistics)
    return pl.pallas_call(
        functools.partial(_backward_kernel, scale=scale, places=places, size=q.shape[2]),
        grid=sizes.grid,
        in_specs=[
            *(_block(x, sizes, places) for x in (q, k, v, out)),
            _statistics_block(sizes),
            _block(dout, sizes, places),
        ],
        out_specs=[_block(x, sizes, places) for x in (q, k, v)],
        out_shape=[jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (q, k, v)],
        scratch_shapes=[
            pltpu.VMEM((at_once, d, queries), q.dtype),
            pltpu.VMEM((at_once, d, queries), q.dtype),
            pltpu.VMEM((at_once, keys, d), k.dtype),
            pltpu.VMEM((at_once, keys, d), k.dtype),
            pltpu.VMEM((at_once, d, keys), k.dtype),
            pltpu.VMEM((at_once, 1, queries), jnp.float32),
            pltpu.VMEM((at_once, 1, queries), jnp.float32),
            pltpu.VMEM((at_once, d, queries), jnp.float32),
            pltpu.VMEM((at_once, d, keys), jnp.float32),
            pltpu.VMEM((at_once, d, keys), jnp.float32),
            pltpu.VMEM((2, 2, min(keys, CHUNK), LANES), jnp.float32),
            pltpu.VMEM((2, 2, min(keys, CHUNK), LANES), jnp.float32),
        ],
        compiler_params=_parameters(q, k, heads, places),
        cost_estimate=_cost(q, k, heads, products=5, arrays=4),
        name="attention_backward",
    )(q, k, v, out, lse, dout)


def _forward_kernel(
    q_ref, k_ref, v_ref, out_ref, lse_ref, q_t, k_heads, v_t, out_t, lse, logits, *, scale, places, size
):  # fmt: skip
    (heads, d, queries), keys = q_t.shape, k_heads.shape[1]
    q, k, v = (_read(ref, places, size) for ref in (q_ref, k_ref, v_ref))
    n, m = q[0].shape[0], k[0].shape[0]
    _transpose_heads(q, q_t)
    _transpose_heads(v, v_t)
    _split_heads(k, k_heads)
    turns, chunks = heads * queries // PAIR, _chunks(keys)

    def score(turn, chunk):
        tops = []
        for half, (h, tile) in enumerate(_tiles(turn, heads)):
            s = jnp.dot(k_heads[h, chunk], q_t[h, :, tile], preferred_element_type=jnp.float32)
            logits[half, chunk] = s = _hide(s, chunk, m, places)
            tops.append(s.max(axis=0, keepdims=True))
        return tops

    def use(turn, tops, following):
        """Write a turn's results, and overwrite its logits with those of the following turn, if there is one."""
        outs, totals = [jnp.zeros((d, LANES), jnp.float32)] * 2, [jnp.zeros_like(top) for top in tops]
        next_tops = [jnp.full_like(top, -jnp.inf) for top in tops]
        for chunk in chunks:
            weights = [jnp.exp2((logits[half, chunk] - tops[half]) * (scale * LOG2_E)) for half in range(2)]
            if following is not None:
                next_tops = list(map(jnp.maximum, next_tops, score(following, chunk)))
            for half, (h, _) in enumerate(_tiles(turn, heads)):
                totals[half] += weights[half].sum(axis=0, keepdims=True)
                w = weights[half].astype(v_t.dtype)
                outs[half] += jnp.dot(v_t[h, :, chunk], w, preferred_element_type=jnp.float32)
        for half, (h, tile) in enumerate(_tiles(turn, heads)):
            out_t[h, :, tile] = (outs[half] / totals[half]).astype(out_t.dtype)
            lse[h, :, tile] = tops[half] * (scale * LOG2_E) + jnp.log2(totals[half])
        return next_tops

    tops = [jnp.full((1, LANES), -jnp.inf, jnp.float32)] * 2
    for chunk in chunks:
        tops = list(map(jnp.maximum, tops, score(0, chunk)))
    if turns * keys <= SHORT:
        for turn in range(turns - 1):
            tops = use(turn, tops, turn + 1)
    else:
        tops = lax.fori_loop(0, turns - 1, lambda turn, tops: use(turn, tops, turn + 1), tops)
    use(turns - 1, tops, None)
    for h in range(heads):
        lse_ref[*_statistics_of(h, lse_ref)] = lse[h]
    _write(out_ref, _join_heads(out_t[...], n, len(q)), places)


def _backward_kernel(
    q_ref, k_ref, v_ref, out_ref, lse_ref, dout_ref, dq_ref, dk_ref, dv_ref,
    q_t, dout_t, k_heads, v_heads, k_t, inner, lse, dq_t, dk_t, dv_t, logits, dweights, *, scale, places, size,
):  # fmt: skip
    (heads, d, queries), keys, dtype = q_t.shape, k_heads.shape[1], q_t.dtype
    q, k, v, out, dout = (_read(ref, places, size) for ref in (q_ref, k_ref, v_ref, out_ref, dout_ref))
    n, m = q[0].shape[0], k[0].shape[0]
    _transpose_heads(q, q_t)
    _transpose_heads(dout, dout_t)
    _transpose_heads(k, k_t)
    _split_heads(k, k_heads)
    _split_heads(v, v_heads)
    _transpose_heads([x.astype(jnp.float32) for x in out], dq_t)  # dq_t holds `out` until it is needed for dq
    for h in range(heads):
        lse[h] = lse_ref[*_statistics_of(h, lse_ref)]
    inner[...] = jnp.sum(dq_t[...] * dout_t[...].astype(jnp.float32), axis=1, keepdims=True)
    dk_t[...] = jnp.zeros_like(dk_t)
    dv_t[...] = jnp.zeros_like(dv_t)
    turns, chunks = heads * queries // PAIR, _chunks(keys)

    def score(turn, number):
        chunk, buffer = chunks[number], (number % 2, slice(0, chunks[number].stop - chunks[number].start))
        for half, (h, tile) in enumerate(_tiles(turn, heads)):
            s = jnp.dot(k_heads[h, chunk], q_t[h, :, tile], preferred_element_type=jnp.float32)
            logits[half, *buffer] = _hide(s, chunk, m, places)
            dw = jnp.dot(v_heads[h, chunk], dout_t[h, :, tile], preferred_element_type=jnp.float32)
            dweights[half, *buffer] = dw

    def use(turn, following):
        dq = [jnp.zeros((d, LANES), jnp.float32)] * 2
        for number, chunk in enumerate(chunks):
            buffer = number % 2, slice(0, chunk.stop - chunk.start)
            s, dw = ([ref[half, *buffer] for half in range(2)] for ref in (logits, dweights))
            if number + 1 < len(chunks):
                score(turn, number + 1)
            elif following is not None:
                score(following, 0)
            for half, (h, tile) in enumerate(_tiles(turn, heads)):
                weights = jnp.exp2(s[half] * (scale * LOG2_E) - lse[h, :, tile])
                ds = (weights * (dw[half] - inner[h, :, tile])).astype(dtype)
                dv_t[h, :, chunk] += _dot_nt(dout_t[h, :, tile], weights.astype(dtype))
                dk_t[h, :, chunk] += _dot_nt(q_t[h, :, tile], ds)
                dq[half] += jnp.dot(k_t[h, :, chunk], ds, preferred_element_type=jnp.float32)
        for half, (h, tile) in enumerate(_tiles(turn, heads)):
            dq_t[h, :, tile] = dq[half]

    score(0, 0)
    if turns * keys <= SHORT:
        for turn in range(turns):
            use(turn, turn + 1 if turn + 1 < turns else None)
    else:  # the last turn also computes logits that are never used, which costs less than a second copy of the code

        def body(turn, _):
            use(turn, jnp.minimum(turn + 1, turns - 1))
            return 0

        lax.fori_loop(0, turns, body, 0)
    _write(dq_ref, _join_heads((dq_t[...] * scale).astype(dtype), n, len(q)), places)
    _write(dk_ref, _join_heads((dk_t[...] * scale).astype(dtype), m, len(q)), places)
    _write(dv_ref, _join_heads(dv_t[...].astype(dtype), m, len(q)), places)


def _tiles(turn, heads: int):
    """Return the head and the tile of queries of each half of a turn.

    The halves have the same tile of two heads or, if the number of heads is odd, two tiles of one head.
    """
    if heads % 2:
        return [(turn % heads, _tile(2 * (turn // heads) + half)) for half in range(2)]
    pairs = heads // 2
    first, tile = (0, turn) if pairs == 1 else (2 * (turn % pairs), turn // pairs)
    return [(first + half, _tile(tile)) for half in range(2)]


def _tile(number):
    start = number * LANES
    return pl.ds(start if isinstance(start, int) else pl.multiple_of(start, LANES), LANES)


def _statistics_of(h: int, lse_ref) -> tuple:
    """Return the index of the h-th head's statistics; they are a row of a register, so h must be static."""
    heads = lse_ref.shape[2]
    return h // heads, 0, slice(h % heads, h % heads + 1)


def _chunks(keys: int) -> list[slice]:
    """Cut keys into chunks: one if they fit one tile, else an even number, so that turns start with the same buffer."""
    tiles = -(-keys // LANES)
    count = min(tiles, 2 * -(-tiles * LANES // (2 * CHUNK)))
    edges = [min(keys, round(tiles * i / count) * LANES) for i in range(count + 1)]
    return list(itertools.starmap(slice, itertools.pairwise(edges)))


def _hide(logits, chunk: slice, m: int, places: int):
    """Mask the logits of padding keys (those after the first m) and of keys whose place is not the query's."""
    key, query = (lax.broadcasted_iota(jnp.int32, logits.shape, axis) for axis in range(2))
    if chunk.stop > m:
        logits = jnp.where(key < m - chunk.start, logits, -jnp.inf)
    if places:
        # The last bits of an index are the place: chunks and tiles begin at multiples of LANES, and so of `places`.
        logits = jnp.where((key ^ query) & (places - 1) == 0, logits, -jnp.inf)
    return logits


def _read(ref, places: int, size: int):
    """Read the sequences (n, h d) of a block; places beyond the array's `size` places are zeros."""
    if not places:
        return [ref[row] for row in range(ref.shape[0])]
    sequences = []
    for row, part in _parts(ref, places):
        x = ref[row, :, part].astype(jnp.float32)
        if size % ref.shape[2]:
            place = pl.program_id(2) * ref.shape[2] + part.start + lax.broadcasted_iota(jnp.int32, x.shape, 1)
            x = jnp.where(place < size, x, 0.0)
        x = jnp.pad(x, ((0, 0), (0, places - x.shape[1]), (0, 0))).astype(ref.dtype)
        sequences.append(x.reshape(-1, x.shape[-1]))
    return sequences


def _write(ref, sequences, places: int) -> None:
    if not places:
        for row, x in enumerate(sequences):
            ref[row] = x
        return
    for (row, part), x in zip(_parts(ref, places), sequences, strict=True):
        ref[row, :, part] = x.reshape(-1, places, x.shape[-1])[:, : part.stop - part.start]


def _parts(ref, places: int) -> list[tuple[int, slice]]:
    """List the (row, slice of at most `places` places) of each sequence in a block."""
    rows, _, size, _ = ref.shape
    return [(row, slice(i, min(i + places, size))) for row in range(rows) for i in range(0, size, places)]


def _transpose_heads(rows, ref):
    """Write rows of (n, h d) to `ref` (rows h, d, n'), with zeros beyond n."""
    n, (count, d, queries) = rows[0].shape[0], ref.shape
    each = count // len(rows)
    for row, x in enumerate(rows):
        x = x.T
        if queries > n:
            x = jnp.concatenate([x, jnp.zeros((x.shape[0], queries - n), x.dtype)], axis=1)
        for h in range(each):
            ref[row * each + h] = x[h * d : (h + 1) * d]


def _split_heads(rows, ref):
    """Write rows of (m, h d) to `ref` (rows h, m', d), with zeros beyond m."""
    m, (count, keys, d) = rows[0].shape[0], ref.shape
    each = count // len(rows)
    for row, x in enumerate(rows):
        for h in range(each):
            if keys > m:
                ref[row * each + h, keys - SUBLANES :] = jnp.zeros((SUBLANES, d), x.dtype)
            ref[row * each + h, :m] = x[:, h * d : (h + 1) * d]


def _join_heads(x, n: int, rows: int):
    """Turn (rows h, d, n') back into rows of (n, h d)."""
    return [one.reshape(-1, x.shape[-1]).T[:n] for one in jnp.split(x, rows)]


def _dot_nt(a, b):
    return lax.dot_general(a, b, _NT, preferred_element_type=jnp.float32)


class _Sizes(NamedTuple):
    """Sizes of a grid step.

    A step has `rows` batch rows with `parts` groups of places each (one group if there are no places). Each group is
    a sequence with `heads` heads of `d` channels. `queries` and `keys` count its tokens, including padding.
    """

    rows: int
    parts: int
    heads: int
    d: int
    queries: int
    keys: int
    grid: tuple[int, int, int]


def _sizes(q, k, heads: int, places: int) -> _Sizes:
    b, d = q.shape[0], q.shape[-1] // heads
    at_once = heads_at_once(heads, d)
    queries = padded(_tokens(q, places), PAIR if at_once % 2 else LANES)
    keys = padded(_tokens(k, places), SUBLANES)
    groups = pl.cdiv(q.shape[2], places) if places else 1
    parts = groups if groups <= PARTS else PARTS // 2
    few = SHORT * PAIR // (parts * at_once * queries * keys)
    rows = next((rows for rows in (4, 2) if b % rows == 0 and rows <= few), 1)
    return _Sizes(rows, parts, at_once, d, queries, keys, (b // rows, heads // at_once, pl.cdiv(groups, parts)))


def _tokens(x, places: int) -> int:
    """Number of tokens in a sequence."""
    return x.shape[1] * (places or 1)


def _block(x, sizes: _Sizes, places: int) -> pl.BlockSpec:
    channels = sizes.heads * sizes.d
    if places:
        shape = (sizes.rows, x.shape[1], min(sizes.parts * places, x.shape[2]), channels)
        return pl.BlockSpec(shape, lambda row, group, block: (row, 0, block, group))
    return pl.BlockSpec((sizes.rows, x.shape[1], channels), lambda row, group, _: (row, 0, group))


def _statistics(q, sizes: _Sizes) -> jax.ShapeDtypeStruct:
    _, groups, blocks = sizes.grid
    shape = (q.shape[0] * sizes.parts, groups, sizes.heads, blocks * sizes.queries)
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def _statistics_block(sizes: _Sizes) -> pl.BlockSpec:
    shape = (sizes.rows * sizes.parts, 1, sizes.heads, sizes.queries)
    return pl.BlockSpec(shape, lambda row, group, block: (row, group, 0, block))


def _parameters(q, k, heads: int, places: int) -> pltpu.CompilerParams:
    needed = vmem_bytes(q, k, heads, places)
    return pltpu.CompilerParams(dimension_semantics=("parallel",) * 3, vmem_limit_bytes=needed + needed // 2)


def _cost(q, k, heads: int, *, products: int, arrays: int) -> pl.CostEstimate:
    (b, n, *places, width), m = q.shape, k.shape[1]
    rows = b * math.prod(places)
    return pl.CostEstimate(
        flops=2 * products * rows * n * m * width,
        transcendentals=rows * heads * n * m,
        bytes_accessed=arrays * rows * (n + m) * width * q.dtype.itemsize,
    )
