"""The recurrence of Mamba's paper in float64, and its comparison with `selective_scan`: outputs and all gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidjax.ops import selective_scan

torch = pytest.importorskip("torch", reason="its autograd differentiates the recurrence (extra: test)")

NAMES = ("x", "dt", "A", "B", "C", "D")
BF16_ROUNDING = float(jnp.finfo(jnp.bfloat16).eps) / 2  # largest relative error of rounding


def operands(length, rows=2, channels=5, states=3, seed=0, decay=1.0, step=1.0, bias=False):
    """Random operands; with a bias, dt is given before the softplus, with steps from 1e-5 to about 30."""
    rng = np.random.default_rng(seed)
    values = {
        "x": rng.normal(size=(rows, length, channels)),
        "dt": step * np.log1p(np.exp(rng.normal(size=(rows, length, channels)))),
        "A": -decay * np.exp(rng.normal(size=(channels, states))),
        "B": rng.normal(size=(rows, length, states)),
        "C": rng.normal(size=(rows, length, states)),
        "D": rng.normal(size=channels),
    }
    if bias:
        values["dt"] = rng.uniform(-10, 26, size=values["dt"].shape)
        values["dt_bias"] = rng.normal(size=channels)
    return values


def recurrence(values, weights, reverse):
    """y of the recurrence as Mamba's paper writes it, and the gradients of sum(weights y), in float64."""
    t = {name: torch.tensor(np.asarray(value, np.float64), requires_grad=True) for name, value in values.items()}
    rows, length, channels = t["x"].shape
    y, steps = [None] * length, t["dt"]
    if "dt_bias" in t:
        steps = torch.log1p(torch.exp(steps + t["dt_bias"]))
    h = torch.zeros(rows, channels, t["A"].shape[1], dtype=torch.float64)
    for i in reversed(range(length)) if reverse else range(length):
        for_channel, for_state = steps[:, i, :, None], t["B"][:, i, None, :]
        h = torch.exp(for_channel * t["A"]) * h + for_channel * for_state * t["x"][:, i, :, None]
        y[i] = (h * t["C"][:, i, None, :]).sum(-1) + t["D"] * t["x"][:, i]
    y = torch.stack(y, 1)
    (y * torch.tensor(weights)).sum().backward()
    return y.detach().numpy(), {name: value.grad.numpy() for name, value in t.items()}


def ours(values, weights, implementation, reverse, dtypes=None):
    """The same with `selective_scan` under jit; `dtypes` of operands that are not float32."""
    values = {name: jnp.asarray(value, (dtypes or {}).get(name, jnp.float32)) for name, value in values.items()}

    def loss(values):
        y = selective_scan(**values, reverse=reverse, implementation=implementation)
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
    for name in values:
        close(gradients[name], wanted_gradients[name], gradient_limit or 2 * limit, name)


def close(found, wanted, limit, name):
    """Check that the error is within `limit` of the oracle's largest entry."""
    found = np.asarray(found, np.float64)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=limit * np.abs(wanted).max(), err_msg=name)
