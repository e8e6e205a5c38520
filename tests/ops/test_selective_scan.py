"""The selective scan against a recurrence in float64: outputs, all gradients, dtypes, memory, sharding."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from vidjax.errors import ConfigError
from vidjax.ops import selective_scan
from vidjax.ops.selective_scan import CHUNK, IMPLEMENTATIONS

torch = pytest.importorskip("torch", reason="its autograd differentiates the recurrence (extra: test)")

NAMES = ("x", "dt", "A", "B", "C", "D")
BF16_ROUNDING = float(jnp.finfo(jnp.bfloat16).eps) / 2  # largest relative error of rounding


def operands(length, rows=2, channels=5, states=3, seed=0, decay=1.0, step=1.0):
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=(rows, length, channels)),
        "dt": step * np.log1p(np.exp(rng.normal(size=(rows, length, channels)))),
        "A": -decay * np.exp(rng.normal(size=(channels, states))),
        "B": rng.normal(size=(rows, length, states)),
        "C": rng.normal(size=(rows, length, states)),
        "D": rng.normal(size=channels),
    }


def recurrence(values, weights, reverse):
    """y of the recurrence as Mamba's paper writes it, and the gradients of sum(weights y), in float64."""
    t = {name: torch.tensor(np.asarray(value, np.float64), requires_grad=True) for name, value in values.items()}
    rows, length, channels = t["x"].shape
    y = [None] * length
    h = torch.zeros(rows, channels, t["A"].shape[1], dtype=torch.float64)
    for i in reversed(range(length)) if reverse else range(length):
        for_channel, for_state = t["dt"][:, i, :, None], t["B"][:, i, None, :]
        h = torch.exp(for_channel * t["A"]) * h + for_channel * for_state * t["x"][:, i, :, None]
        y[i] = (h * t["C"][:, i, None, :]).sum(-1) + t["D"] * t["x"][:, i]
    y = torch.stack(y, 1)
    (y * torch.tensor(weights)).sum().backward()
    return y.detach().numpy(), {name: value.grad.numpy() for name, value in t.items()}


def ours(values, weights, implementation, reverse, dtypes=None):
    """The same under jit; `dtypes` of the operands that are not float32."""
    values = {name: jnp.asarray(value, (dtypes or {}).get(name, jnp.float32)) for name, value in values.items()}

    def loss(values):
        y = selective_scan(*(values[name] for name in NAMES), reverse=reverse, implementation=implementation)
        return jnp.sum(y.astype(jnp.float32) * weights), y

    (_, y), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(values)
    assert y.dtype == values["x"].dtype
    assert {name: g.dtype for name, g in gradients.items()} == {name: v.dtype for name, v in values.items()}
    return y, gradients


def compare(values, implementation, reverse=False, limit=2e-6, dtypes=None, gradient_limit=None):
    weights = np.random.default_rng(9).normal(size=values["x"].shape).astype(np.float32)
    for name in dtypes or {}:
        values[name] = np.asarray(jnp.asarray(values[name], dtypes[name]), np.float64)
    if dtypes:
        weights = np.asarray(jnp.asarray(weights, jnp.bfloat16), np.float32)
    y, gradients = ours(values, weights, implementation, reverse, dtypes)
    wanted, wanted_gradients = recurrence(values, weights.astype(np.float64), reverse)
    close(y, wanted, limit, "y")
    for name in NAMES:
        close(gradients[name], wanted_gradients[name], gradient_limit or 2 * limit, name)


def close(found, wanted, limit, name):
    """Within `limit` of the oracle's largest entry."""
    found = np.asarray(found, np.float64)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=limit * np.abs(wanted).max(), err_msg=name)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 7, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5])
def test_any_length_follows_the_recurrence(length, reverse):
    compare(operands(length), "chunked", reverse)


@pytest.mark.parametrize(("length", "reverse"), [(1, True), (7, False), (2 * CHUNK + 1, True)])
def test_the_associative_form_follows_the_recurrence(length, reverse):
    compare(operands(length), "associative", reverse)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(
    "scales",
    [
        pytest.param({"decay": 16.0, "step": 30.0}, id="decays that underflow"),
        pytest.param({"decay": 1e-2, "step": 1e-4}, id="steps that hardly forget"),
    ],
)
def test_extreme_decays_are_exact_and_finite(implementation, scales):
    compare(operands(2 * CHUNK + 3, rows=1, **scales), implementation)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_bfloat16_is_rounded_at_the_border_only(implementation):
    """y is rounded once; a gradient up to three times: that through the skip, that through the scan, and their sum."""
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


def test_rows_on_eight_devices_give_the_same_and_talk_only_about_shared_parameters():
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


def test_the_chunked_gradient_needs_a_fraction_of_the_memory():
    """Measured at these sizes: a thirtieth. A bound of a tenth leaves room for other compilers."""
    arrays = [jnp.asarray(v, jnp.float32) for v in operands(512, rows=1, channels=32, states=16).values()]
    temporary = {
        name: _gradient(name).lower(*arrays).compile().memory_analysis().temp_size_in_bytes for name in IMPLEMENTATIONS
    }
    assert temporary["chunked"] * 10 < temporary["associative"], temporary


def _gradient(implementation):
    scan = functools.partial(selective_scan, implementation=implementation)
    return jax.jit(jax.grad(lambda *arrays: jnp.sum(scan(*arrays) ** 2), argnums=range(6)))


def test_an_unknown_name_is_refused_and_never_replaced():
    arrays = [jnp.asarray(value, jnp.float32) for value in operands(3).values()]
    with pytest.raises(ConfigError, match="scan='paralel' is unknown; choose one of associative, chunked"):
        selective_scan(*arrays, implementation="paralel")
