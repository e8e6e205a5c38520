"""Bodies of the TPU kernels of a Mamba branch, for a chunk of tokens (t b d): 8 rows b and all channels.

The forward kernel runs the convolution, SiLU, both projections, softplus and the scan. It writes only the output and
the states between chunks to main memory.

In the kernels of the scan alone, the outer loop runs over channels and the inner one over tokens. Here, the outer loop
runs over tokens. B and C of a token are broadcast to all lanes where they are used, and their gradients are summed over
channels in registers. States are kept in VMEM, where the backward kernel needs those of every token anyway.
"""

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from vidjax.ops.scan import conv_tpu
from vidjax.ops.scan.tpu_kernels import LN2, gather, softplus_of
from vidjax.ops.scan.tpu_tokens import LANES, for_groups, load, loop, valid_tokens

UNROLL = 4  # tokens; the loops over states and channels inside are unrolled too


def forward(
    x, beside, taps, taps_bias, x_proj, dt_proj, dt_bias, A, D, y, states, h, u, steps, proj, *, sizes, reverse
):
    """Write y (t b d) and the states (1 s b d) before the chunk.

    Reads x (t b d) and the tokens beside the chunk; the convolution's taps (k b d) and bias (b d); x_proj (d lane),
    whose columns give dt, B and C; dt_proj (lane d), with zeros for B and C; the bias of dt and D (b d); and A (s b d)
    divided by ln 2. `sizes` are the length of the sequence and the rank of dt.
    Scratch: the running state (s b d); u (t b d), the SiLU of the convolution; steps (t b d); proj (t b lane).
    """
    tokens, size = x.shape[0], A.shape[0]
    length, rank = sizes
    valid = valid_tokens(tokens, length, reverse)

    @pl.when(pl.program_id(2) == 0)
    def _():
        h[...] = jnp.zeros_like(h)

    states[0] = h[...]
    _convolve(x, beside, taps, taps_bias, u, length, reverse, flipped=reverse)
    _project(u, x_proj, dt_proj, proj, steps)
    _make_steps(steps, dt_bias)

    lanes = _registers(x.shape[2])

    def token(i, _):
        t = tokens - 1 - i if reverse else i
        seen, dt = _of_token(u, t, lanes, valid), _of_token(steps, t, lanes)
        written = [dt_t * u_t for dt_t, u_t in zip(dt, seen, strict=True)]
        read = [D[:, at] * u_t for at, u_t in zip(lanes, seen, strict=True)]
        for s in range(size):
            b, c = _on_all_lanes(proj[t], rank + s), _on_all_lanes(proj[t], rank + size + s)
            for j, at in enumerate(lanes):
                h[s, :, at] = h_t = jnp.exp2(dt[j] * A[s, :, at]) * h[s, :, at] + written[j] * b
                read[j] += h_t * c
        for at, y_t in zip(lanes, read, strict=True):
            y[t, :, at] = y_t.astype(y.dtype)

    loop(tokens, token, None, UNROLL)


def backward(
    x, beside, dy, states, taps, taps_bias, x_proj, dt_proj, dt_bias, A, D,
    dx, dtaps, dtaps_bias, dx_proj, ddt_proj, ddt_bias, dA, dD,
    after, g, u, steps, slopes, proj, dproj, kept, *, sizes, reverse,
):  # fmt: skip
    """Write dx (t b d), and add to the gradients of x_proj and dt_proj (1 lane d) and of the other weights (... b d).

    The grid visits the chunks in the opposite order of the scan. Further scratch: `after`, for `conv_tpu.backward`; the
    gradient g (s b d) of the running state; slopes (t b d), the derivatives of the softplus that gives the steps; the
    gradient of proj (t b lane); the states (t+1 s b d), in the order of the scan, before each token and at the end.
    The last loop overwrites steps with the gradients of u, and slopes with the gradients of the softplus's input.
    """
    tokens, size = x.shape[0], A.shape[0]
    length, rank = sizes
    valid = valid_tokens(tokens, length, not reverse)
    conv_tpu.clear_at_first(g, dx_proj, ddt_proj, ddt_bias, dA, dD)
    _convolve(x, beside, taps, taps_bias, u, length, reverse, flipped=not reverse)
    _project(u, x_proj, dt_proj, proj, steps)
    _make_steps(steps, dt_bias, slopes)
    dproj[...] = jnp.zeros_like(dproj)

    lanes = _registers(x.shape[2])
    kept[0] = states[0]

    def remember(i, _):
        t = tokens - 1 - i if reverse else i
        seen, dt, dy_t = _of_token(u, t, lanes, valid), _of_token(steps, t, lanes), _of_token(dy, t, lanes, valid)
        written = [dt_t * u_t for dt_t, u_t in zip(dt, seen, strict=True)]
        to_C = []
        for s in range(size):
            b, to_c = _on_all_lanes(proj[t], rank + s), 0.0
            for j, at in enumerate(lanes):
                h = jnp.exp2(dt[j] * A[s, :, at]) * kept[i, s, :, at] + written[j] * b
                kept[i + 1, s, :, at] = h
                to_c += h * dy_t[j]
            to_C.append(to_c)
        dproj[t] += gather(jnp.stack(to_C), rank + size)

    loop(tokens, remember, None, UNROLL)

    def back(i, _):
        i = tokens - 1 - i
        t = tokens - 1 - i if reverse else i
        seen, dt, dy_t = _of_token(u, t, lanes, valid), _of_token(steps, t, lanes), _of_token(dy, t, lanes, valid)
        written = [dt_t * u_t for dt_t, u_t in zip(dt, seen, strict=True)]
        of_written, of_decay, to_B = [0.0] * len(lanes), [0.0] * len(lanes), []
        for s in range(size):
            b, c, to_b = _on_all_lanes(proj[t], rank + s), _on_all_lanes(proj[t], rank + size + s), 0.0
            for j, at in enumerate(lanes):
                rate = A[s, :, at]
                g_t = g[s, :, at] + dy_t[j] * c
                of_written[j] += g_t * b
                to_b += g_t * written[j]
                g[s, :, at] = g_t = g_t * jnp.exp2(dt[j] * rate)
                exponent = g_t * kept[i, s, :, at]  # gradient of dt A
                dA[s, :, at] += exponent * dt[j]
                of_decay[j] += exponent * rate
            to_B.append(to_b)
        for j, at in enumerate(lanes):
            ddt_t = slopes[t, :, at] * (of_decay[j] * LN2 + of_written[j] * seen[j])
            slopes[t, :, at] = ddt_t
            steps[t, :, at] = of_written[j] * dt[j] + D[:, at] * dy_t[j]
            ddt_bias[:, at] += ddt_t
            dD[:, at] += dy_t[j] * seen[j]
        dproj[t] += gather(jnp.stack(to_B), rank)

    loop(tokens, back, None, UNROLL)

    du, ddt = steps, slopes
    _project_back(u, ddt, x_proj, dt_proj, proj, dproj, du, dx_proj, ddt_proj)
    conv_tpu.backward(
        x, beside, taps, taps_bias, du, dx, dtaps, dtaps_bias, after, sizes=(length, x.shape[2]), reverse=reverse
    )


def _registers(channels):
    """List adjacent slices of lanes; static ones show the compiler that loads and stores do not overlap."""
    return [pl.ds(lane, LANES) for lane in range(0, channels, LANES)]


def _of_token(ref, t, lanes, valid=None):
    """Load a token's channels, one array for each slice of lanes; with `valid`, in float32 and zeros if t >= valid."""
    if valid is None:
        return [ref[t, :, at] for at in lanes]
    return [load(ref, t, [(at, valid)]) for at in lanes]


def _on_all_lanes(token, lane):
    return jnp.broadcast_to(token[:, lane : lane + 1], (token.shape[0], LANES))


def _convolve(x, beside, taps, bias, u, length, reverse, flipped):
    """Write u (t b d), the SiLU of the convolution of x; tokens beyond the sequence get finite values."""
    tokens, others = x.shape[0], taps.shape[0] - 1
    valid = valid_tokens(tokens, length, flipped)

    def channels(lanes):
        (at,) = lanes
        parts = [(at, valid)]

        def token(i, last):
            t = tokens - 1 - i if reverse else i
            seen = (*last, load(x, t, parts))
            before = bias[:, at] + conv_tpu.weigh(taps, at, seen)
            u[t, :, at] = before * conv_tpu.sigmoid(before)
            return seen[1:]

        outside = conv_tpu.load_beside(beside, parts, others, tokens, reverse, flipped)
        loop(tokens, token, tuple(outside)[::-1])

    for_groups(channels, x.shape[2], LANES)


def _project(u, x_proj, dt_proj, proj, before):
    """Write dt, B and C side by side into proj (t b lane), and the projection of dt into `before` (t b d)."""
    found = _product(_matrix(u).astype(x_proj.dtype), x_proj[...])
    proj[...] = found.reshape(proj.shape)
    before[...] = _product(found.astype(dt_proj.dtype), dt_proj[...]).reshape(before.shape)


def _project_back(u, ddt, x_proj, dt_proj, proj, dproj, du, dx_proj, ddt_proj):
    """Add to the gradients of u and of both projections, given the gradients `ddt` (t b d) and `dproj` (t b lane)."""
    ddt = _matrix(ddt).astype(dt_proj.dtype)
    ddt_proj[0] += _product(_matrix(proj).T.astype(ddt.dtype), ddt)
    total = _matrix(dproj) + _product(ddt, dt_proj[...], of_last=True)
    dx_proj[0] += _product(total.T.astype(ddt.dtype), _matrix(u).astype(ddt.dtype))
    du[...] += _product(total.astype(ddt.dtype), x_proj[...], of_last=True).reshape(du.shape)


def _matrix(ref):
    """Reshape (t b d) to (t*b d)."""
    tokens, rows, channels = ref.shape
    return ref[...].reshape(tokens * rows, channels)


def _product(left, right, of_last=False):
    """Multiply two matrices and sum in float32; `of_last` contracts the last axis of both."""
    axes = ((1,), (1 if of_last else 0,))
    precision = jax.lax.Precision.HIGHEST if left.dtype == jnp.float32 else None
    return jax.lax.dot_general(left, right, (axes, ((), ())), precision=precision, preferred_element_type=jnp.float32)


def _make_steps(steps, bias, slopes=None):
    """Replace `steps` (t b d) by softplus(steps + bias), and write the softplus's derivatives to `slopes`."""

    def channels(lanes):
        (at,) = lanes

        def token(t, _):
            before = steps[t, :, at] + bias[:, at]
            steps[t, :, at] = step = softplus_of(before)
            if slopes is not None:
                slopes[t, :, at] = jnp.exp(before - step)

        loop(steps.shape[0], token, None)

    for_groups(channels, steps.shape[2], LANES)
