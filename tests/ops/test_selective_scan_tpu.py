"""The TPU kernels of the selective scan, interpreted on a CPU, against the recurrence in float64."""

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.pallas import tpu as pltpu
from jax.sharding import AxisType
from scans import BF16_ROUNDING, compare, operands

from vidjax.ops.scan import tpu_blocks

SHAPES = {  # rows, length, channels, states
    "one token, one row": (1, 1, 5, 3),
    "a row in parts of its channels": (1, 11, 384, 2),
    "an odd number of rows": (3, 9, 130, 3),
    "one register of rows": (8, 9, 128, 2),
    "more rows than a register has, several chunks": (9, 19, 5, 2),
}


@pytest.fixture(autouse=True)
def interpreted_in_chunks_of_8(monkeypatch):
    """Short chunks, so that short sequences have several."""
    monkeypatch.setattr(tpu_blocks, "CHUNKS", (8,))
    with pltpu.force_tpu_interpret_mode():
        yield


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_any_shape_follows_the_recurrence(shape, reverse):
    rows, length, channels, states = shape
    compare(operands(length, rows, channels, states), "pallas_tpu", reverse)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_with_a_bias_steps_go_through_a_softplus(shape):
    rows, length, channels, states = shape
    compare(operands(length, rows, channels, states, bias=True), "pallas_tpu", reverse=True)


@pytest.mark.parametrize(
    "scales",
    [
        pytest.param({"decay": 16.0, "step": 30.0}, id="decays that underflow"),
        pytest.param({"decay": 1e-2, "step": 1e-4}, id="steps that hardly forget"),
    ],
)
def test_extreme_decays_are_exact_and_finite(scales):
    compare(operands(19, rows=1, **scales), "pallas_tpu")


def test_bfloat16_is_rounded_only_at_inputs_and_outputs():
    """As for the portable forms: y is rounded once, a gradient up to three times."""
    dtypes = dict.fromkeys(("x", "B", "C"), jnp.bfloat16)
    limits = {"limit": BF16_ROUNDING + 1e-5, "gradient_limit": 3 * BF16_ROUNDING}
    compare(operands(19, rows=1, channels=7), "pallas_tpu", dtypes=dtypes, **limits)


def test_steps_before_the_softplus_may_be_bfloat16():
    dtypes = dict.fromkeys(("x", "dt", "B", "C"), jnp.bfloat16)
    limits = {"limit": BF16_ROUNDING + 1e-5, "gradient_limit": 3 * BF16_ROUNDING}
    compare(operands(19, rows=1, channels=7, bias=True), "pallas_tpu", dtypes=dtypes, **limits)


@pytest.mark.parametrize("bias", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize(
    ("rows", "channels"),
    [pytest.param(2, 256, id="shared"), pytest.param(3, 5, id="whole everywhere", marks=pytest.mark.slow)],
)
def test_on_a_mesh_each_device_scans_its_own_rows_and_channels(rows, channels, bias):
    devices = jax.devices()[:4]
    mesh = jax.make_mesh((2, 1, 2), ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3, devices=devices)
    with jax.set_mesh(mesh):
        compare(operands(9, rows, channels, states=2, bias=bias), "pallas_tpu")
