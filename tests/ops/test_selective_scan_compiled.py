"""Scan and convolution compiled for TPUs that are not attached: they fit the cores and are sharded over devices."""

import functools
import importlib.util
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from vidjax.aot.compile_step import topology_devices
from vidjax.errors import ConfigError
from vidjax.ops import causal_conv_silu, selective_scan

pytestmark = [
    pytest.mark.aot,
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu, the TPU compiler, is not installed"),
]
MIDDLE = (8, 3137, 1152, 16)  # a VideoMamba-M on 16 frames, 8 clips per chip


def mesh(topology, data=1, tensor=1):
    devices = np.array(topology_devices(topology)[: data * tensor]).reshape(data, 1, tensor)
    return Mesh(devices, ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3)


def compile_gradient(mesh, shape, implementation=None, dtype=jnp.bfloat16, reverse=False, bias=False):
    b, length, d, s = shape
    tokens, per_state = P(("data", "fsdp"), None, "tensor"), P(("data", "fsdp"))
    kinds = {
        "x": ((b, length, d), dtype, tokens),
        "dt": ((b, length, d), dtype if bias else jnp.float32, tokens),
        "A": ((d, s), jnp.float32, P("tensor")),
        "B": ((b, length, s), dtype, per_state),
        "C": ((b, length, s), dtype, per_state),
        "D": ((d,), jnp.float32, P("tensor")),
    }
    if bias:
        kinds["dt_bias"] = kinds["D"]
    return compile_pullback(
        mesh,
        lambda *arrays: selective_scan(
            **dict(zip(kinds, arrays, strict=True)), implementation=implementation, reverse=reverse
        ),
        kinds.values(),
    )


def compile_pullback(mesh, function, kinds):
    """Compile the pullback for arrays of some shapes, dtypes and specs; the result is like the first."""
    arrays = [jax.ShapeDtypeStruct(s, t, sharding=NamedSharding(mesh, spec)) for s, t, spec in kinds]

    def gradients(dy, *arrays):
        y, vjp = jax.vjp(function, *arrays)
        return y, vjp(dy)

    shardings = [array.sharding for array in arrays]
    with jax.set_mesh(mesh):
        step = jax.jit(gradients, out_shardings=(shardings[0], tuple(shardings)))
        return step.trace(arrays[0], *arrays).lower(lowering_platforms=("tpu",)).compile()


@pytest.mark.parametrize(
    ("topology", "reverse"),
    [("v4:2x2x1", True), ("v5e:1x1", False), ("v5e:1x1", True), ("v5p:2x2x1", False), ("v6e:1x1", False)],
)
def test_training_needs_little_memory_on_every_tpu(topology, reverse):
    """Two kernels hold arguments, results and the states between chunks, at most a sixteenth of all states."""
    for bias in (False, True):
        compiled = compile_gradient(mesh(topology), MIDDLE, reverse=reverse, bias=bias)
        assert compiled.as_text().count('"tpu_custom_call"') == 2
        assert compiled.memory_analysis().temp_size_in_bytes < 0.3e9


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("topology", ["v4:2x2x1", "v5e:1x1", "v6e:1x1"])
def test_the_convolution_holds_only_its_arguments_and_results(topology, dtype, reverse):
    for b, length, d in ((8, 3137, 1152), (1, 1, 5), (3, 50, 130), (9, 70, 1536)):
        tokens, channels = P(("data", "fsdp"), None, "tensor"), P(None, "tensor")
        kinds = ((b, length, d), dtype, tokens), ((4, d), jnp.float32, channels), ((d,), jnp.float32, P("tensor"))
        conv = functools.partial(causal_conv_silu, reverse=reverse)
        compiled = compile_pullback(mesh(topology), conv, kinds)
        assert compiled.as_text().count('"tpu_custom_call"') == 2
        if d % 128 == 0 and b % 8 == 0:
            assert compiled.memory_analysis().temp_size_in_bytes < 1e6


@pytest.mark.parametrize(
    "shape",
    [(1, 1, 5, 3), (1, 197, 1152, 16), (3, 50, 130, 16), (9, 70, 1536, 16), (2, 3137, 2048, 16)],
    ids=str,
)
@pytest.mark.parametrize("topology", ["v4:2x2x1", "v5e:1x1"])
def test_odd_shapes_compile_in_float32_too(topology, shape):
    compiled = compile_gradient(mesh(topology), shape, "pallas_tpu", jnp.float32)
    assert compiled.as_text().count('"tpu_custom_call"') == 2


def test_states_too_large_for_a_core_use_the_portable_form_unless_the_kernel_is_named():
    chip, shape = mesh("v4:2x2x1"), (8, 64, 1152, 64)
    assert '"tpu_custom_call"' not in compile_gradient(chip, shape).as_text()
    with pytest.raises(ConfigError, match="64 states per channel must fit in a core's 17 MB"):
        compile_gradient(chip, shape, "pallas_tpu")


@pytest.mark.parametrize("implementation", ["pallas_tpu", "chunked"])
def test_eight_chips_divide_rows_and_channels_and_sum_only_shared_gradients(implementation):
    """Gradients of A and D are summed once over rows, those of B and C over channels; no operand is gathered."""
    text = compile_gradient(mesh("v5e:2x4", data=4, tensor=2), (16, 300, 512, 16), implementation).as_text()
    moved = r"= (.*?) (?:all-gather|all-to-all|collective-permute|reduce-scatter)(?:-start)?\("
    assert not re.findall(moved, text)
    sums = [line for line in text.splitlines() if re.search(r" all-reduce(-start)?\(", line)]
    results = [re.findall(r"(?:f32|bf16)\[([\d,]+)\]", re.split(r" all-reduce(?:-start)?\(", line)[0]) for line in sums]
    sizes = sorted(int(np.prod([int(n) for n in shape.split(",")])) for shapes in results for shape in shapes)
    assert sizes == sorted([256 * 16, 256, 4 * 300 * 16, 4 * 300 * 16])
    assert not any("while/body" in line for line in sums)
