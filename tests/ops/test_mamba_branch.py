"""A branch of Mamba against PyTorch in float64: outputs, all gradients, dtypes, meshes, choices."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pltpu
from jax.sharding import AxisType
from scans import BF16_ROUNDING, close

from vidjax.errors import ConfigError
from vidjax.ops import BranchWeights, mamba_branch
from vidjax.ops.scan import tpu_blocks

torch = pytest.importorskip("torch", reason="its autograd differentiates the branch (extra: test)")

NAMES = ("x", *BranchWeights._fields)
SHAPES = {  # rows, length, channels, taps, rank, states
    "one token": (8, 1, 128, 4, 3, 2),
    "several chunks": (8, 19, 128, 4, 3, 2),
    "several blocks of rows, several registers": (16, 11, 256, 3, 5, 3),
    "taps as far as the halo, whole chunks": (8, 16, 128, 9, 1, 1),
}


@pytest.fixture(params=["separate", "pallas_tpu"])
def implementation(request, monkeypatch):
    """The kernels interpreted, in short chunks, so that short sequences have several."""
    monkeypatch.setattr(tpu_blocks, "CHUNKS", (8,))
    with pltpu.force_tpu_interpret_mode() if request.param == "pallas_tpu" else contextlib.nullcontext():
        yield request.param


def operands(rows, length, channels, taps, rank, states):
    """Operands by name, in float64; step sizes range from 1e-3 to about 5."""
    rng = np.random.default_rng(0)
    return {
        "x": rng.normal(size=(rows, length, channels)),
        "taps": rng.normal(size=(taps, channels)),
        "taps_bias": rng.normal(size=channels),
        "x_proj": rng.normal(size=(channels, rank + 2 * states)) / np.sqrt(channels),
        "dt_proj": rng.normal(size=(rank, channels)),
        "dt_bias": rng.normal(size=channels) - 2,
        "A": -np.exp(rng.normal(size=(channels, states))),
        "D": rng.normal(size=channels),
    }


def torchs(values, weights, reverse):
    """y and the gradients of sum(weights y), by the paper's equations, on the sequence in reading order."""
    t = {name: torch.tensor(value, requires_grad=True) for name, value in values.items()}
    x = t["x"].flip(1) if reverse else t["x"]
    padded = torch.nn.functional.pad(x.mT, (len(t["taps"]) - 1, 0))
    u = torch.nn.functional.conv1d(padded, t["taps"].T[:, None], t["taps_bias"], groups=x.shape[2]).mT
    u = torch.nn.functional.silu(u)
    rank, states = len(t["dt_proj"]), t["A"].shape[1]
    dt, B, C = torch.split(u @ t["x_proj"], [rank, states, states], dim=2)
    steps = torch.nn.functional.softplus(dt @ t["dt_proj"] + t["dt_bias"])
    h, y = torch.zeros(*u[:, 0].shape, states, dtype=torch.float64), []
    for i in range(u.shape[1]):
        step = steps[:, i, :, None]
        h = torch.exp(step * t["A"]) * h + step * B[:, i, None] * u[:, i, :, None]
        y.append((h * C[:, i, None]).sum(-1) + t["D"] * u[:, i])
    y = torch.stack(y, 1)
    y = y.flip(1) if reverse else y
    (y * torch.tensor(weights)).sum().backward()
    return y.detach().numpy(), {name: value.grad.numpy() for name, value in t.items()}


def ours(values, weights, **options):
    def loss(values):
        x, *others = (values[name] for name in NAMES)
        y = mamba_branch(x, BranchWeights(*others), **options)
        return jnp.sum(y.astype(jnp.float32) * weights), y

    (_, y), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(values)
    assert y.dtype == values["x"].dtype
    assert {name: g.dtype for name, g in gradients.items()} == {name: v.dtype for name, v in values.items()}
    return y, gradients


def compare(shape, limits=(2e-6, 8e-6), dtype=jnp.float32, reverse=False, **options):
    values = operands(*shape)
    values["x"] = np.asarray(jnp.asarray(values["x"], dtype), np.float64)
    weights = np.random.default_rng(9).normal(size=values["x"].shape)
    weights = np.asarray(jnp.asarray(weights, dtype), np.float64)
    arrays = {name: jnp.asarray(value, dtype if name == "x" else jnp.float32) for name, value in values.items()}
    y, gradients = ours(arrays, weights.astype(np.float32), reverse=reverse, **options)
    wanted, wanted_gradients = torchs(values, weights, reverse)
    close(y, wanted, limits[0], "y")
    for name in NAMES:
        close(gradients[name], wanted_gradients[name], limits[1], name)


def cases():
    """Every shape in both directions; in one of the two it is fast, by turns."""
    for number, (name, shape) in enumerate(SHAPES.items()):
        for reverse in (False, True):
            marks = pytest.mark.slow if reverse == number % 2 else ()
            yield pytest.param(shape, reverse, marks=marks, id=f"{name}, {'backward' if reverse else 'forward'}")


@pytest.mark.parametrize(("shape", "reverse"), [*cases()])
def test_any_shape_follows_the_equations(implementation, shape, reverse):
    compare(shape, reverse=reverse, implementation=implementation)


def test_bfloat16_is_rounded_only_at_projections_inputs_and_outputs(implementation):
    """y is rounded once each for u, dt, B, C and itself; gradients about twice as often."""
    compare(
        SHAPES["several chunks"],
        (5 * BF16_ROUNDING, 10 * BF16_ROUNDING),
        jnp.bfloat16,
        reverse=True,
        implementation=implementation,
    )


@pytest.mark.parametrize("sizes", [(4, 1, 1), (2, 1, 2)], ids=["rows", "rows and channels"])
def test_on_a_mesh_the_default_is_the_same(sizes):
    mesh = jax.make_mesh(sizes, ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3, devices=jax.devices()[:4])
    with jax.set_mesh(mesh):
        compare(SHAPES["several chunks"])


def test_on_a_mesh_each_device_runs_the_kernels_on_its_rows(implementation):
    mesh = jax.make_mesh(
        (2, 1, 1), ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3, devices=jax.devices()[:2]
    )
    with jax.set_mesh(mesh):
        compare(SHAPES["several blocks of rows, several registers"], implementation=implementation)


@pytest.mark.parametrize(
    "shape", [(7, 3, 128, 4, 3, 2), (8, 3, 64, 4, 3, 2), (8, 3, 128, 10, 3, 2), (8, 3, 128, 4, 100, 20)], ids=str
)
def test_unsupported_inputs_fall_back_unless_the_kernels_are_named(shape):
    compare(shape)
    values = {name: jnp.asarray(value, jnp.float32) for name, value in operands(*shape).items()}
    with pytest.raises(ConfigError, match=r"multiples of 8 rows and of 128 channels.* use implementation='separate'"):
        ours(values, 1.0, implementation="pallas_tpu")


def test_a_named_scan_is_used():
    compare(SHAPES["several chunks"], scan="associative")
    values = {name: jnp.asarray(value, jnp.float32) for name, value in operands(*SHAPES["one token"]).items()}
    with pytest.raises(ConfigError, match="scan='parallel' is unknown"):
        ours(values, 1.0, scan="parallel")
    with pytest.raises(ConfigError, match="scan='chunked' does not apply to pallas_tpu"):
        ours(values, 1.0, scan="chunked", implementation="pallas_tpu")


def test_an_unknown_name_is_refused_with_the_choices():
    values = {name: jnp.asarray(value, jnp.float32) for name, value in operands(*SHAPES["one token"]).items()}
    with pytest.raises(ConfigError, match="'both' is unknown; choose one of separate, pallas_tpu"):
        ours(values, 1.0, implementation="both")
