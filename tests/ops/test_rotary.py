"""Rotary positions against a rotation written channel by channel, and what attention needs of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from vidjax import ops
from vidjax.errors import ConfigError


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
