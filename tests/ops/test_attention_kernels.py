"""Attention without logits in memory (tiles; a TPU kernel, interpreted): results and gradients against einsums."""

import functools
import importlib.util
import os
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pltpu
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from vidjax import ops
from vidjax.errors import ConfigError
from vidjax.ops.attention.fused import kernel_on_tpu

SHAPES = {  # rows, queries, keys, heads, head width
    "fewer than one register": (1, 9, 5, 2, 64),
    "37 tokens, several rows": (8, 37, 37, 2, 64),
    "160 tokens": (2, 160, 160, 2, 64),
    "tiles of queries and several chunks of keys, neither divides": (1, 300, 1100, 2, 64),
    "three tiles of queries on a CPU, the last one padded": (1, 1601, 300, 2, 64),
    "queries fewer than keys, odd": (1, 17, 261, 2, 64),
    "three heads that fill no register together": (2, 200, 139, 3, 64),
    "wide heads": (1, 40, 140, 2, 128),
    "heads of VideoMAE-H": (1, 130, 150, 8, 80),
    "heads of VideoMAE-g": (1, 20, 36, 2, 88),
    "more tiles than are written out": (1, 1100, 500, 2, 64),
    "more tiles than are written out, of one head": (1, 2100, 500, 1, 128),
}
OVER_TIME = {  # rows, frames of queries, of keys, places, heads, head width
    "8 frames, as many places as go at once": (2, 8, 8, 32, 2, 64),
    "a class token more than divides": (1, 8, 8, 37, 2, 64),
    "16 frames, fewer places than go at once": (2, 16, 16, 9, 4, 32),
    "more places than a step takes": (1, 16, 16, 300, 2, 64),
    "frames no power of two, three heads": (1, 3, 5, 70, 3, 64),
    "one frame of queries": (1, 1, 2, 130, 1, 128),
    "more frames than the kernel takes": (1, 20, 20, 3, 2, 16),
}


def cases(shapes, slow):
    """A parameter for each shape; those named in `slow` repeat what others check, with larger arrays."""
    marks = {name: pytest.mark.slow if name in slow else () for name in shapes}
    return [pytest.param(shape, id=name, marks=marks[name]) for name, shape in shapes.items()]


@pytest.fixture(params=["pallas_tpu", "tiled", None])  # None, the default, takes all logits at once for these shapes
def implementation(request):
    with pltpu.force_tpu_interpret_mode() if request.param == "pallas_tpu" else jax.named_scope("tiled"):
        yield request.param


def operands(shape, dtype=jnp.float32):
    b, n, m, h, d = shape
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=(b, k, h, d)), dtype) for k in (n, m, m, n)]


def with_gradients(arrays, attention=ops.attention, **options):
    *arrays, cotangent = arrays
    run = jax.jit(functools.partial(jax.vjp, functools.partial(attention, **options)))
    out, vjp = run(*arrays)
    return out, *jax.jit(vjp)(cotangent.astype(out.dtype))


def einsums(q, k, v):
    """Attend in the dtype of the inputs, with a softmax in float32."""
    logits = jnp.einsum("bnhd,bmhd->bhnm", q * q.shape[-1] ** -0.5, k, preferred_element_type=jnp.float32)
    return jnp.einsum("bhnm,bmhd->bnhd", jax.nn.softmax(logits, axis=-1).astype(v.dtype), v)


def einsums_over_time(q, k, v, scale):
    weights = jax.nn.softmax(jnp.einsum("btshd,bushd->bshtu", q, k) * scale, axis=-1)
    return jnp.einsum("bshtu,bushd->btshd", weights, v)


def assert_close(ours, reference, tolerance):
    """Compare relative to the largest entry."""
    for value, expected in zip(ours, reference, strict=True):
        expected = np.asarray(expected, np.float32)
        np.testing.assert_allclose(np.asarray(value, np.float32), expected, atol=tolerance * np.abs(expected).max())


def mesh_of(devices, sizes):
    return Mesh(np.array(devices).reshape(sizes), ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3)


@pytest.mark.parametrize("shape", cases(SHAPES, slow=("three heads that fill no register together",)))
def test_outputs_and_gradients_match_einsums(implementation, shape):
    arrays = operands(shape)
    with jax.default_matmul_precision("highest"):
        ours = with_gradients(arrays, implementation=implementation, scale=0.2)
        # On a CPU, the default's forward pass is one call of XLA's library, which has exponentials of its own.
        assert_close(ours, with_gradients(arrays, implementation="xla", scale=0.2), 2e-6 if implementation else 3e-6)


@pytest.mark.parametrize("shape", cases(OVER_TIME, slow=("more places than a step takes",)))
def test_over_time_each_place_attends_to_its_own_frames(implementation, shape):
    b, t, u, s, h, d = shape
    rng = np.random.default_rng(1)
    arrays = [jnp.asarray(rng.normal(size=(b, frames, s, h, d)), jnp.float32) for frames in (t, u, u, t)]
    with jax.default_matmul_precision("highest"):
        ours = with_gradients(arrays, ops.attention_over_time, implementation=implementation, scale=0.2)
        assert_close(ours, with_gradients(arrays, einsums_over_time, scale=0.2), 2e-6)


def test_bfloat16_is_as_close_to_the_truth_as_einsums_are(implementation):
    arrays = operands((2, 150, 150, 2, 64), jnp.bfloat16)
    truth = with_gradients([x.astype(jnp.float32) for x in arrays], einsums)
    ours, theirs = with_gradients(arrays, implementation=implementation), with_gradients(arrays, einsums)
    for value, other, expected in zip(ours, theirs, truth, strict=True):
        assert value.dtype == jnp.bfloat16
        error, usual = (np.square(np.asarray(x, np.float32) - expected).mean() ** 0.5 for x in (value, other))
        assert error < 1.2 * usual


@pytest.mark.parametrize("implementation", ["tiled", None])
def test_each_gradient_has_its_operands_dtype(implementation):
    q, *others = operands((1, 150, 130, 2, 64))
    _, *gradients = with_gradients([q.astype(jnp.bfloat16), *others], implementation=implementation)
    assert [x.dtype for x in gradients] == [jnp.bfloat16, jnp.float32, jnp.float32]


def test_logits_of_any_size_give_finite_gradients(implementation):
    q, k, v, cotangent = operands((1, 140, 130, 2, 64))
    arrays = [100 * q, 100 * k, v, cotangent]  # logits in the thousands: weights are 0 and 1
    reference = with_gradients(arrays, implementation="xla")
    assert_close(with_gradients(arrays, implementation=implementation)[:1], reference[:1], 1e-4)
    assert all(np.isfinite(x).all() for x in with_gradients(arrays, implementation=implementation))


@pytest.mark.parametrize("implementation", ["pallas_tpu", "tiled"])
@pytest.mark.parametrize("masking", [{"is_causal": True}, {"mask": np.ones((1, 1, 8, 8), bool)}])
def test_a_form_without_masks_refuses_them(implementation, masking):
    with pytest.raises(ConfigError, match=rf"{implementation}.*no masks.*xla"):
        ops.attention(*operands((1, 8, 8, 2, 64))[:3], implementation=implementation, **masking)


def test_the_kernel_refuses_sequences_that_do_not_fit_its_memory():
    shape = jax.ShapeDtypeStruct((1, 20000, 2, 64), jnp.bfloat16)
    with pytest.raises(ConfigError, match=r"20000 keys and values .* MB; use attention='splash'"):
        jax.eval_shape(functools.partial(ops.attention, implementation="pallas_tpu"), shape, shape, shape)
    half = jax.ShapeDtypeStruct((1, 200, 2, 64), jnp.float16)
    with pytest.raises(ConfigError, match=r"float16.*use attention='tiled'"):
        jax.eval_shape(functools.partial(ops.attention, implementation="pallas_tpu"), half, half, half)


@pytest.mark.parametrize("shape", [(2, 160, 160, 2, 8), (1, 600, 500, 2, 8), (1, 20, 500, 2, 8)])
def test_without_a_name_the_result_is_the_same(shape):
    arrays = operands(shape)
    assert_close(with_gradients(arrays), with_gradients(arrays, implementation="xla"), 2e-6)


@pytest.mark.skipif(jax.device_count() < 8, reason="needs 8 devices")
@pytest.mark.parametrize("rows", [8, 3])  # 3 rows cannot be divided: each device takes all
@pytest.mark.parametrize(  # an interpreted kernel deadlocks on several devices
    ("form", "tokens"), [("tiled", 140), (None, 140), (None, 64)]
)
def test_on_a_mesh_it_computes_the_same_and_moves_nothing(rows, form, tokens):
    mesh = mesh_of(jax.devices()[:8], (2, 2, 2))
    arrays = operands((rows, tokens, tokens, 2, 64))
    expected = with_gradients(arrays, implementation="xla")
    split = P(("data", "fsdp") if rows == 8 else None, None, "tensor", None)

    def run(*arrays):
        out, vjp = jax.vjp(functools.partial(ops.attention, implementation=form), *arrays[:3])
        return out, *vjp(arrays[3])

    with jax.set_mesh(mesh):
        spread = [jax.device_put(x, NamedSharding(mesh, split)) for x in arrays]
        compiled = jax.jit(run)
        assert_close(compiled(*spread), expected, 2e-6)
        text = compiled.lower(*spread).compile().as_text()
        assert not any(f" {kind}(" in text for kind in ("all-gather", "all-to-all", "collective-permute"))


@pytest.mark.skipif(jax.device_count() < 8, reason="needs 8 devices")
@pytest.mark.parametrize("sizes", [(8, 1, 1), (2, 2, 2)], ids=str)
@pytest.mark.parametrize(
    ("attention", "shape", "kernels"),
    [
        (ops.attention, (3, 160, 3, 64), 2),
        (ops.attention, (3, 64, 3, 64), 0),  # fewer tokens than a register has lanes
        (ops.attention_over_time, (3, 8, 20, 3, 64), 2),
        (ops.attention_over_time, (3, 20, 20, 3, 64), 0),  # more than 16 frames
    ],
)
def test_it_lowers_for_a_tpu_on_a_mesh_that_cannot_divide_rows(attention, shape, kernels, sizes):
    array = jax.ShapeDtypeStruct(shape, jnp.bfloat16)
    gradient = jax.jit(jax.grad(lambda *a: jnp.sum(attention(*a).astype(jnp.float32))))
    with jax.set_mesh(mesh_of(jax.devices()[:8], sizes)):
        text = gradient.trace(array, array, array).lower(lowering_platforms=("tpu",)).as_text()
    assert text.count("tpu_custom_call") == kernels


@pytest.mark.parametrize(("platform", "tokens", "kernels"), [("tpu", 37, 2), ("tpu", 31, 0), ("cpu", 37, 0)])
def test_short_sequences_use_the_kernel_on_a_tpu_only_if_asked_to(platform, tokens, kernels):
    array = jax.ShapeDtypeStruct((8, tokens, 12, 64), jnp.bfloat16)
    attention = functools.partial(kernel_on_tpu, default=ops.attention)
    gradient = jax.jit(jax.grad(lambda *a: jnp.sum(attention(*a).astype(jnp.float32))))
    text = gradient.trace(array, array, array).lower(lowering_platforms=(platform,)).as_text()
    assert text.count("tpu_custom_call") == kernels


def test_policies_can_keep_what_the_backward_pass_needs():
    """A rematerialised block then computes its attention only once."""
    policy = jax.checkpoint_policies.save_only_these_names("attention")
    arrays = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in operands((1, 160, 160, 2, 8))[:3]]

    def loss(q, k, v):
        return jnp.sum(jnp.sin(ops.attention(jnp.sin(q), k, v)))

    def exponentials(policy):
        jaxpr = jax.make_jaxpr(jax.grad(jax.checkpoint(loss, policy=policy)))(*arrays)
        return str(jaxpr).count("= exp ")

    assert exponentials(policy) < exponentials(None)


def compiled_for(topology, shape, attention=ops.attention):
    """Compile attention and its gradients for four devices; return the program and its temporary bytes.

    Rows and heads are sharded over the devices. The shape is (b n m h d), or (b t s h d) over time.
    """
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    from jax.experimental import topologies

    mesh = mesh_of(topologies.get_topology_desc(topology, "tpu").devices[:4], (2, 1, 2))
    b, *lengths, h, d = shape
    between = [lengths] * 4 if attention is ops.attention_over_time else [[lengths[i]] for i in (0, 1, 1, 0)]
    split = NamedSharding(mesh, P(("data", "fsdp"), *(None,) * len(between[0]), "tensor", None))
    arrays = [jax.ShapeDtypeStruct((b, *axes, h, d), jnp.bfloat16, sharding=split) for axes in between]

    def run(*arrays):
        out, vjp = jax.vjp(attention, *arrays[:3])
        return out, *vjp(arrays[3])

    with jax.set_mesh(mesh):
        compiled = jax.jit(run).trace(*arrays).lower(lowering_platforms=("tpu",)).compile()
    return compiled.as_text(), compiled.memory_analysis().temp_size_in_bytes


needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu, the TPU compiler, is not installed (extra aot)"
)


@pytest.mark.aot
@needs_libtpu
@pytest.mark.parametrize(
    ("topology", "shape"),
    [
        ("v5e:2x4", (8, 1568, 1568, 6, 64)),
        ("v5e:2x4", (8, 160, 160, 12, 64)),
        ("v6e:2x4", (8, 1569, 1569, 12, 64)),
        ("v4:2x2x1", (8, 1568, 1568, 4, 64)),
        ("v5e:2x4", (8, 1568, 1568, 8, 80)),  # VideoMAE-H's decoder: 8 heads at once, in a loop
    ],
)
def test_a_tpu_gets_the_kernel_and_no_logits_in_memory(topology, shape):
    text, temp = compiled_for(topology, shape)
    assert text.count("tpu_custom_call") == 2
    assert not any(f" {kind}(" in text for kind in ("all-gather", "all-reduce", "all-to-all", "collective-permute"))
    b, n, m, h, _ = shape
    assert temp < max(4 * b * h * n * m / 4 / 8, 8e6)  # an eighth of the logits of a device


@pytest.mark.aot
@needs_libtpu
@pytest.mark.parametrize(
    ("topology", "shape"),
    [("v5e:2x4", (8, 8, 197, 12, 64)), ("v6e:2x4", (4, 16, 785, 12, 64)), ("v4:2x2x1", (8, 3, 50, 12, 64))],
)
def test_over_time_a_tpu_gets_a_kernel_that_moves_no_tokens(topology, shape):
    text, _ = compiled_for(topology, shape, ops.attention_over_time)
    assert text.count("tpu_custom_call") == 2
    assert not any(f" {kind}(" in text for kind in ("all-gather", "all-reduce", "all-to-all", "collective-permute"))
    assert " transpose(" not in text


@pytest.mark.aot
@needs_libtpu
def test_over_time_tokens_are_moved_if_a_small_core_cannot_hold_them():
    text, _ = compiled_for("v4:2x2x1", (8, 16, 20, 16, 88), ops.attention_over_time)
    assert "tpu_custom_call" not in text


@pytest.mark.aot
@needs_libtpu
@pytest.mark.parametrize(
    ("topology", "shape"),
    [
        ("v4:2x2x1", (8, 1568, 1568, 6, 64)),
        ("v5e:2x4", (8, 1568, 1568, 16, 88)),  # giant, fine-tuning: all 16 heads would be taken at once
        ("v5p:2x2x1", (4, 18432, 18432, 12, 64)),
        ("v5e:2x4", (4, 18000, 18000, 2, 80)),
    ],
)
def test_keys_that_a_core_cannot_hold_are_streamed_in_blocks(topology, shape):
    text, temp = compiled_for(topology, shape)
    assert len(re.findall(r"%splash\S+ = .* custom-call", text)) == 3
    assert not any(f" {kind}(" in text for kind in ("all-gather", "all-reduce", "all-to-all", "collective-permute"))
    assert temp < 2e9  # a device's logits are at least 79 MB, 16 GB and 5 GB, in float32
