"""The selective scan against a recurrence in float64: outputs, all gradients, dtypes, memory, sharding."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from scans import BF16_ROUNDING, NAMES, close, compare, operands

from vidjax.errors import ConfigError
from vidjax.ops import selective_scan
from vidjax.ops.scan.chunked import CHUNK

PORTABLE = ("associative", "chunked")  # the TPU kernels have test_selective_scan_tpu.py


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 7, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5])
def test_any_length_follows_the_recurrence(length, reverse):
    compare(operands(length), "chunked", reverse)


@pytest.mark.parametrize(("length", "reverse"), [(1, True), (7, False), (2 * CHUNK + 1, True)])
def test_the_associative_form_follows_the_recurrence(length, reverse):
    compare(operands(length), "associative", reverse)


@pytest.mark.parametrize("implementation", PORTABLE)
def test_with_a_bias_steps_go_through_a_softplus(implementation):
    compare(operands(CHUNK + 3, bias=True), implementation, reverse=True)


@pytest.mark.parametrize("implementation", PORTABLE)
@pytest.mark.parametrize(
    "scales",
    [
        pytest.param({"decay": 16.0, "step": 30.0}, id="decays that underflow"),
        pytest.param({"decay": 1e-2, "step": 1e-4}, id="steps that hardly forget"),
    ],
)
def test_extreme_decays_are_exact_and_finite(implementation, scales):
    compare(operands(2 * CHUNK + 3, rows=1, **scales), implementation)


@pytest.mark.parametrize("implementation", PORTABLE)
def test_bfloat16_is_rounded_only_at_inputs_and_outputs(implementation):
    """y is rounded once; a gradient up to three times: through the skip, through the scan, and as their sum."""
    dtypes = dict.fromkeys(("x", "B", "C"), jnp.bfloat16)
    limits = {"limit": BF16_ROUNDING + 1e-5, "gradient_limit": 3 * BF16_ROUNDING}
    compare(operands(4 * CHUNK, rows=1, channels=7), implementation, dtypes=dtypes, **limits)


def test_without_a_skip_nothing_is_added():
    values = operands(9)
    arrays = {name: jnp.asarray(value, jnp.float32) for name, value in values.items()}
    skipless = jax.jit(selective_scan)(*(arrays[name] for name in NAMES[:5]))
    whole = selective_scan(*(arrays[name] for name in NAMES))
    np.testing.assert_allclose(skipless, whole - arrays["D"] * arrays["x"], atol=1e-5)


def test_reverse_is_the_scan_of_the_reversed_sequence():
    arrays = [jnp.asarray(value, jnp.float32) for value in operands(CHUNK + 3).values()]
    flipped = [array[:, ::-1] if array.ndim == 3 else array for array in arrays]
    np.testing.assert_array_equal(selective_scan(*arrays, reverse=True), selective_scan(*flipped)[:, ::-1])


def test_vmap_is_a_loop():
    stacked = [np.stack(pair) for pair in zip(operands(5).values(), operands(5, seed=1).values(), strict=True)]
    stacked = [jnp.asarray(array, jnp.float32) for array in stacked]
    gradient = _gradient("chunked")
    for mapped, alone in zip(jax.vmap(gradient)(*stacked), gradient(*(a[1] for a in stacked)), strict=True):
        np.testing.assert_allclose(mapped[1], alone, rtol=1e-5, atol=1e-6)


def test_rows_on_eight_devices_give_the_same_and_communicate_only_for_shared_parameters():
    arrays = {name: jnp.asarray(v, jnp.float32) for name, v in operands(2 * CHUNK, rows=8).items()}
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    placed = {
        name: jax.device_put(array, NamedSharding(mesh, P("data") if array.ndim == 3 else P()))
        for name, array in arrays.items()
    }
    gradient = jax.jit(jax.grad(lambda a: jnp.sum(selective_scan(*(a[name] for name in NAMES)) ** 2)))
    compiled = gradient.lower(placed).compile()
    text = compiled.as_text()
    assert "all-gather" not in text
    assert "all-to-all" not in text
    looped = [line for line in text.splitlines() if "all-reduce(" in line and "while/body" in line]
    assert not looped  # the gradient of A is summed over devices once, not for every token
    for name, alone in gradient(arrays).items():
        close(compiled(placed)[name], np.asarray(alone, np.float64), 1e-6, name)


def test_on_a_mesh_each_device_takes_its_own_rows_and_channels():
    """No operand moves; gradients of replicated operands are summed, but not once for every token."""
    arrays = {name: jnp.asarray(v, jnp.float32) for name, v in operands(2 * CHUNK + 1, rows=8, channels=6).items()}
    gradient = jax.grad(lambda a: jnp.sum(selective_scan(*(a[name] for name in NAMES)) ** 2))
    alone = jax.jit(gradient)(arrays)
    tokens, per_state = P(("data", "fsdp"), None, "tensor"), P(("data", "fsdp"))
    specs = dict(zip(NAMES, (tokens, tokens, P("tensor"), per_state, per_state, P("tensor")), strict=True))
    mesh = jax.make_mesh((2, 2, 2), ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3)
    with jax.set_mesh(mesh):
        placed = {name: jax.device_put(array, NamedSharding(mesh, specs[name])) for name, array in arrays.items()}
        compiled = jax.jit(gradient).lower(placed).compile()
        shared = compiled(placed)
    text = compiled.as_text()
    assert not re.search(r" (all-gather|all-to-all|collective-permute)\(", text)
    assert not [line for line in text.splitlines() if "all-reduce(" in line and "while/body" in line]
    for name in NAMES:
        close(shared[name], np.asarray(alone[name], np.float64), 1e-6, name)


def test_a_mesh_that_cannot_divide_evenly_changes_nothing():
    arrays = [jnp.asarray(value, jnp.float32) for value in operands(CHUNK + 1, rows=3, channels=5).values()]
    alone = _gradient("chunked")(*arrays)
    with jax.set_mesh(jax.make_mesh((2, 2, 2), ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3)):
        for found, wanted in zip(_gradient("chunked")(*arrays), alone, strict=True):
            close(found, np.asarray(wanted, np.float64), 1e-6, "")


def test_the_chunked_gradient_needs_a_fraction_of_the_memory():
    """Measured at these sizes: a thirtieth. A bound of a tenth leaves room for other compilers."""
    arrays = [jnp.asarray(v, jnp.float32) for v in operands(512, rows=1, channels=32, states=16).values()]
    temporary = {
        name: _gradient(name).lower(*arrays).compile().memory_analysis().temp_size_in_bytes for name in PORTABLE
    }
    assert temporary["chunked"] * 10 < temporary["associative"], temporary


def _gradient(implementation):
    scan = functools.partial(selective_scan, implementation=implementation)
    return jax.jit(jax.grad(lambda *arrays: jnp.sum(scan(*arrays) ** 2), argnums=range(6)))


def test_an_unknown_name_is_refused_and_never_replaced():
    arrays = [jnp.asarray(value, jnp.float32) for value in operands(3).values()]
    with pytest.raises(ConfigError, match="scan='paralel' is unknown; choose one of associative, chunked"):
        selective_scan(*arrays, implementation="paralel")
