"""The causal convolution with SiLU against PyTorch's in float64: outputs, all gradients, dtypes, sharding."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pltpu
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from scans import BF16_ROUNDING, close

from vidjax.errors import ConfigError
from vidjax.ops import causal_conv_silu
from vidjax.ops.scan import tpu_blocks

torch = pytest.importorskip("torch", reason="its convolution is the oracle (extra: test)")

SHAPES = {  # rows, length, channels, taps
    "one token, one row": (1, 1, 5, 4),
    "one tap": (2, 5, 3, 1),
    "a row in parts of its channels": (1, 11, 384, 4),
    "an odd number of rows": (3, 16, 130, 4),
    "one register of rows, taps as far as the halo": (8, 9, 128, 9),
    "more rows than a register has, several chunks": (9, 29, 5, 4),
}


@pytest.fixture(params=["taps", "pallas_tpu"])
def implementation(request, monkeypatch):
    """The kernels interpreted, in short chunks, so that short sequences have several."""
    monkeypatch.setattr(tpu_blocks, "CHUNKS", (8,))
    with pltpu.force_tpu_interpret_mode():
        yield request.param


def operands(rows, length, channels, taps):
    rng = np.random.default_rng(0)
    shapes = (rows, length, channels), (taps, channels), (channels,), (rows, length, channels)
    return [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes]


def torchs(x, kernel, bias, weights, reverse):
    """y and the gradients of sum(weights y) by PyTorch's correlation, on the sequence in reading order."""
    x, kernel, bias = (torch.tensor(np.asarray(a, np.float64), requires_grad=True) for a in (x, kernel, bias))
    padded = torch.nn.functional.pad((x.flip(1) if reverse else x).mT, (len(kernel) - 1, 0))
    y = torch.nn.functional.silu(torch.conv1d(padded, kernel.T[:, None], bias, groups=len(bias)).mT)
    y = y.flip(1) if reverse else y
    (y * torch.tensor(np.asarray(weights, np.float64))).sum().backward()
    return [a.detach().numpy() for a in (y, x.grad, kernel.grad, bias.grad)]


def ours(x, kernel, bias, weights, **options):
    def loss(*arrays):
        y = causal_conv_silu(*arrays, **options)
        return jnp.sum(y.astype(jnp.float32) * weights), y

    (_, y), gradients = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))(x, kernel, bias)
    assert [a.dtype for a in (y, *gradients)] == [x.dtype, x.dtype, jnp.float32, jnp.float32]
    return y, *gradients


def compare(arrays, limits, reverse=False, **options):
    found, wanted = ours(*arrays, reverse=reverse, **options), torchs(*arrays, reverse)
    for name, limit, mine, theirs in zip(("y", "x", "kernel", "bias"), limits, found, wanted, strict=True):
        close(mine, theirs, limit, name)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_any_shape_matches_pytorchs_convolution(implementation, shape, reverse):
    compare(operands(*shape), (1e-6,) * 4, reverse, implementation=implementation)


def test_bfloat16_is_rounded_only_at_inputs_and_outputs(implementation):
    """The plain form's gradient of x is rounded for each tap and for each of their sums."""
    x, kernel, bias, weights = operands(2, 29, 5, 4)
    x, weights = x.astype(jnp.bfloat16), weights.astype(jnp.bfloat16).astype(jnp.float32)
    once = BF16_ROUNDING + 1e-5
    of_x = once if implementation == "pallas_tpu" else 7 * BF16_ROUNDING
    compare((x, kernel, bias, weights), (once, of_x, 1e-5, 1e-5), implementation=implementation)


@pytest.mark.parametrize("implementation", ["taps", pytest.param("pallas_tpu", marks=pytest.mark.slow)], indirect=True)
def test_on_a_mesh_each_device_takes_its_own_rows_and_channels(implementation):
    arrays = operands(4, 11, 256, 4)
    mesh = jax.make_mesh(
        (2, 1, 2), ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3, devices=jax.devices()[:4]
    )
    specs = P("data", None, "tensor"), P(None, "tensor"), P("tensor"), P("data", None, "tensor")
    with jax.set_mesh(mesh):
        placed = [jax.device_put(a, NamedSharding(mesh, spec)) for a, spec in zip(arrays, specs, strict=True)]
        compare(placed, (1e-6,) * 4, implementation=implementation)
        gradient = jax.jit(jax.grad(lambda *a: causal_conv_silu(*a, implementation=implementation).sum()))
        text = gradient.lower(*placed[:3]).compile().as_text()
    assert not re.search(r" (all-gather|all-to-all|collective-permute)\(", text)


def test_too_many_taps_fall_back_to_the_plain_form_unless_the_kernels_are_named():
    arrays = operands(1, 12, 3, 10)
    compare(arrays, (1e-6,) * 4)
    assert causal_conv_silu(jnp.zeros((0, 12, 3)), *arrays[1:3]).shape == (0, 12, 3)
    with pytest.raises(
        ConfigError, match=r"up to 9 taps .*, not 10 taps and an x of float32.*; use implementation='taps'"
    ):
        ours(*arrays, implementation="pallas_tpu")


def test_an_unknown_name_is_refused_with_the_choices():
    with pytest.raises(ConfigError, match="'fft' is unknown; choose one of taps, pallas_tpu"):
        ours(*operands(1, 2, 3, 4), implementation="fft")
