"""Rotary positions against a rotation written channel by channel, and what attention needs of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pltpu
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from vidjax import ops
from vidjax.errors import ConfigError
from vidjax.ops import rotary_tpu


def by_hand(x, place):
    """V-JEPA 2's rotation of one head (d,) at a place (t, y, x), one channel at a time, in float64."""
    d, out = len(x), x.astype(np.float64).copy()
    m = 2 * (d // 3 // 2)
    for axis in range(3):
        for j in range(m):
            angle = place[axis] / 10000 ** ((j % (m // 2)) / (m / 2))
            channel = axis * m + j
            partner = -x[channel + 1] if j % 2 == 0 else x[channel - 1]
            out[channel] = x[channel] * np.cos(angle) + partner * np.sin(angle)
    return out


@pytest.mark.parametrize("d", [6, 11, 24, 32, 64, 80])
def test_each_head_turns_as_written_out_by_hand(d):
    grid, rng = (3, 2, 5), np.random.default_rng(0)
    x = rng.normal(size=(2, 30, 3, d)).astype(np.float32)
    found = np.asarray(jax.jit(ops.rotate)(x, *ops.rotary_3d(grid, d)))
    for row, token, head in [(0, 0, 0), (1, 7, 2), (0, 29, 1), (1, 24, 0)]:
        place = (token // 10, token % 10 // 5, token % 5)
        np.testing.assert_allclose(found[row, token, head], by_hand(x[row, token, head], place), atol=2e-6)
    left = d % 6  # channels that belong to no axis
    np.testing.assert_array_equal(found[..., d - left :], x[..., d - left :])


def test_tokens_picked_by_an_index_turn_as_in_the_whole_clip():
    x = np.random.default_rng(0).normal(size=(2, 24, 2, 12)).astype(np.float32)
    cos, sin = ops.rotary_3d((2, 3, 4), 12)
    index = jnp.array([[3, 0, 17], [23, 22, 5]])
    picked = jnp.take_along_axis(x, index[:, :, None, None], axis=1)
    whole = jnp.take_along_axis(ops.rotate(x, cos, sin), index[:, :, None, None], axis=1)
    np.testing.assert_array_equal(ops.rotate(picked, cos[index], sin[index]), whole)


def test_a_larger_grid_contains_a_smaller_one():
    """A clip of more frames or pixels extrapolates: the places that both have turn alike."""
    small, large = (np.asarray(ops.rotary_3d(grid, 24)) for grid in ((2, 3, 4), (5, 6, 7)))
    np.testing.assert_array_equal(small.reshape(2, 2, 3, 4, 24), large.reshape(2, 5, 6, 7, 24)[:, :2, :3, :4])


def test_bfloat16_rounds_once():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 24, 2, 12)), jnp.bfloat16)
    tables = ops.rotary_3d((2, 3, 4), 12)
    found = ops.rotate(x, *tables)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found, ops.rotate(x.astype(jnp.float32), *tables).astype(jnp.bfloat16))


def test_gradients_are_the_transpose():
    rng, tables = np.random.default_rng(0), ops.rotary_3d((2, 3, 4), 12)
    x, y = (jnp.asarray(rng.normal(size=(1, 24, 2, 12)), jnp.float32) for _ in range(2))
    _, transpose = jax.vjp(lambda x: ops.rotate(x, *tables), x)
    np.testing.assert_allclose(jnp.vdot(ops.rotate(x, *tables), y), jnp.vdot(x, transpose(y)[0]), rtol=1e-5)


@pytest.mark.skipif(jax.device_count() < 8, reason="needs 8 devices")
@pytest.mark.parametrize("picked", [False, True])
def test_on_a_mesh_it_computes_the_same_and_sends_nothing(picked):
    rng, tables = np.random.default_rng(0), ops.rotary_3d((2, 3, 4), 12)
    x = rng.normal(size=(4, 24, 6, 12)).astype(np.float32)
    if picked:
        index = np.stack([rng.permutation(24) for _ in range(4)])
        tables = [table[index] for table in tables]
    mesh = Mesh(np.array(jax.devices()[:8]).reshape(2, 2, 2), ("data", "fsdp", "tensor"))
    with jax.set_mesh(mesh):
        spread = jax.device_put(x, NamedSharding(mesh, P(("data", "fsdp"), None, "tensor", None)))
        rows = NamedSharding(mesh, P(("data", "fsdp") if picked else None))
        compiled = jax.jit(ops.rotate).lower(spread, *(jax.device_put(table, rows) for table in tables)).compile()
        found = compiled(spread, *(jax.device_put(table, rows) for table in tables))
    np.testing.assert_allclose(found, jax.jit(ops.rotate)(x, *tables), atol=1e-6)
    kinds = ("all-gather", "all-reduce", "all-to-all", "collective-permute")
    assert not any(f" {kind}(" in compiled.as_text() for kind in kinds)


def test_too_narrow_heads_are_refused():
    with pytest.raises(ConfigError, match="heads of 5 channels are too narrow for rotary positions"):
        ops.rotary_3d((1, 1, 1), 5)


KERNEL = [(4, 64, False), (4, 32, True), (8, 80, False), (2, 64, True)]  # heads, their channels, tokens picked by index


def heads_and_tables(heads, d, picked, dtype=jnp.float32):
    """Two clips of 30 tokens, their places and their tables."""
    rng = np.random.default_rng(0)
    x, places = jnp.asarray(rng.normal(size=(2, 30, heads, d)), dtype), np.tile(np.arange(30), (2, 1))
    tables = ops.rotary_3d((3, 2, 5), d)
    if picked:
        places = np.stack([rng.permutation(30) for _ in range(2)])
        tables = tuple(table[places] for table in tables)
    return x, places, tables


@pytest.mark.parametrize(("heads", "d", "picked"), KERNEL)
def test_the_kernel_turns_each_head_as_written_out_by_hand(heads, d, picked, monkeypatch):
    monkeypatch.setattr(rotary_tpu, "TOKENS", 16)  # the second of two blocks lacks 2 of its 16 tokens
    x, places, tables = heads_and_tables(heads, d, picked)
    with pltpu.force_tpu_interpret_mode():
        found = np.asarray(rotary_tpu.rotate(x.reshape(2, 30, -1), *tables)).reshape(x.shape)
    for row, token, head in [(0, 0, 0), (1, 7, heads - 1), (0, 29, 1), (1, 15, 0), (1, 16, 1)]:
        place = places[row, token]
        expected = by_hand(np.asarray(x[row, token, head]), (place // 10, place % 10 // 5, place % 5))
        np.testing.assert_allclose(found[row, token, head], expected, atol=2e-6)


@pytest.mark.parametrize(("heads", "d", "picked"), KERNEL)
def test_the_kernel_turns_gradients_back(heads, d, picked):
    """Gradients come from the kernel's transpose: <rotate(x), y> = <x, gradient(y)>."""
    x, _, tables = heads_and_tables(heads, d, picked)
    x, y = x.reshape(2, 30, -1), jnp.roll(x, 1, axis=1).reshape(2, 30, -1)
    with pltpu.force_tpu_interpret_mode():
        turned, back = rotary_tpu.rotate(x, *tables), rotary_tpu.rotate(y, *tables, transposed=True)
    np.testing.assert_allclose(jnp.vdot(turned, y), jnp.vdot(x, back), rtol=1e-5)
    # By the definition in the portable code, too, for every channel.
    _, transpose = jax.vjp(lambda x: ops.rotate(x.reshape(2, 30, heads, d), *tables).reshape(x.shape), x)
    np.testing.assert_allclose(back, transpose(y)[0], atol=2e-6)


def test_the_kernel_rounds_bfloat16_once():
    x, _, tables = heads_and_tables(2, 64, False, jnp.bfloat16)
    x = x.reshape(2, 30, -1)
    with pltpu.force_tpu_interpret_mode():
        found, precise = (rotary_tpu.rotate(a, *tables) for a in (x, x.astype(jnp.float32)))
    np.testing.assert_array_equal(found, precise.astype(jnp.bfloat16))


@pytest.mark.parametrize(("heads", "d", "kernels"), [(4, 64, 2), (3, 64, 0), (12, 32, 2), (16, 80, 2)])
def test_a_tpu_runs_the_kernel_where_heads_fill_registers(heads, d, kernels):
    """Forward and backward; 3 heads of 64 channels fill one and a half registers."""
    x, _, tables = heads_and_tables(heads, d, False, jnp.bfloat16)
    gradient = jax.jit(jax.grad(lambda x: jnp.square(ops.rotate(x, *tables).astype(jnp.float32)).sum()))
    assert gradient.trace(x).lower(lowering_platforms=("tpu",)).as_text().count("tpu_custom_call") == kernels
    assert "tpu_custom_call" not in gradient.trace(x).lower(lowering_platforms=("cpu",)).as_text()
