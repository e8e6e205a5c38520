"""Handmade tables of rules: which key becomes which leaf, and that nothing is unused, missing or misshapen."""

import jax
import numpy as np
import pytest

from vidjax.errors import WeightsError
from vidjax.weights import array_layouts
from vidjax.weights.rules import Rule, read, write

WIDTH, HEADS, DEPTH = 6, 2, 2
RULES = (
    *array_layouts.linear("fc", "fc"),
    Rule(("token",), ("token",), array_layouts.TOKEN),
    Rule(("block.{}.qkv",), ("blocks/qkv",), array_layouts.qkv_fused(HEADS), DEPTH),
    Rule(("block.{}.proj",), ("blocks/proj",), array_layouts.heads_out(HEADS), DEPTH),
)
SHAPES = {
    "fc": {"kernel": jax.ShapeDtypeStruct((WIDTH, 4), np.float32), "bias": jax.ShapeDtypeStruct((4,), np.float32)},
    "token": jax.ShapeDtypeStruct((WIDTH,), np.float32),
    "blocks": {
        "qkv": jax.ShapeDtypeStruct((DEPTH, WIDTH, 3, HEADS, WIDTH // HEADS), np.float32),
        "proj": jax.ShapeDtypeStruct((DEPTH, HEADS, WIDTH // HEADS, WIDTH), np.float32),
    },
}


@pytest.fixture
def state():
    shapes = {"fc.weight": (4, WIDTH), "fc.bias": (4,), "token": (1, 1, WIDTH)}
    for block in range(DEPTH):
        shapes |= {f"block.{block}.qkv": (3 * WIDTH, WIDTH), f"block.{block}.proj": (WIDTH, WIDTH)}
    rng = np.random.default_rng(0)
    return {key: rng.normal(size=shape).astype(np.float32) for key, shape in shapes.items()}


def test_the_tree_computes_the_same_as_the_files_matrices(state):
    tree, x = read(RULES, state, lambda: SHAPES), np.random.default_rng(1).normal(size=WIDTH).astype(np.float32)
    fc, fc_in_file = x @ tree["fc"]["kernel"] + tree["fc"]["bias"], state["fc.weight"] @ x + state["fc.bias"]
    np.testing.assert_allclose(fc, fc_in_file, rtol=1e-5)  # libraries add float32 products in different orders
    for block in range(DEPTH):
        q, k, v = (state[f"block.{block}.qkv"] @ x).reshape(3, WIDTH)
        ours = np.einsum("d,dphe->phe", x, tree["blocks"]["qkv"][block])
        np.testing.assert_allclose(ours.reshape(3, WIDTH), [q, k, v], rtol=1e-5)
        out = np.einsum("he,hed->d", v.reshape(HEADS, -1), tree["blocks"]["proj"][block])
        np.testing.assert_allclose(out, state[f"block.{block}.proj"] @ v, rtol=1e-5)


def test_written_arrays_equal_the_read_ones_and_are_contiguous(state):
    back = write(RULES, read(RULES, state, lambda: SHAPES))
    assert back.keys() == state.keys()
    for key, array in back.items():
        np.testing.assert_array_equal(array, state[key], err_msg=key)
        assert array.flags["C_CONTIGUOUS"], key  # safetensors writes the bytes as they are in memory


def test_leaves_are_copies_of_what_was_read(state):
    """A .pth is mapped into memory: overwriting the file must not change what was read."""
    tree = read(RULES, state, lambda: SHAPES)
    before = jax.tree.map(np.copy, tree)
    for array in state.values():
        array[:] = 0
    jax.tree.map(np.testing.assert_array_equal, tree, before)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fc.bias": None, "token": None}, "2 keys are missing: fc.bias, token$"),
        ({"extra": np.ones(1)}, "1 key is unused: extra$"),
        ({f"extra{i}": np.ones(1) for i in range(10)}, "10 keys are unused: extra0, .*, extra7 and 2 more$"),
        ({"fc.weight": np.ones((WIDTH, 4), np.float32)}, r"of another shape: fc.weight \(4, 6\) instead of \(6, 4\)"),
        ({"block.1.qkv": np.ones(18, np.float32)}, r"1 key is of another shape: block.1.qkv \(18,\)$"),
        ({"block.1.proj": np.ones((6, 8), np.float32)}, r"another shape: block.1.proj \(6, 8\), unlike block 0's$"),
        ({"token": np.ones((1, 2, WIDTH), np.float32)}, r"of another shape: token \(1, 2, 6\)$"),
        ({"fc.weight": np.ones((4, WIDTH), np.int8)}, "1 key is not floating point: fc.weight$"),
    ],
)
def test_problems_of_a_file_are_listed_by_key(state, change, words):
    changed = {key: value for key, value in (state | change).items() if value is not None}
    with pytest.raises(WeightsError, match=words):
        read(RULES, changed, lambda: SHAPES)


def test_keys_without_weights_can_be_named(state):
    read(RULES, state | {"block.0.mask": np.ones(1, bool)}, lambda: SHAPES, ignore=r"\.mask$")


def test_a_mismatch_between_rules_and_module_is_listed(state):
    with pytest.raises(WeightsError, match=r"1 key is without a rule: norm/scale$"):
        read(RULES, state, lambda: SHAPES | {"norm": {"scale": SHAPES["token"]}})
    with pytest.raises(WeightsError, match=r"1 key is with a rule but not in the model: token$"):
        read(RULES, state, lambda: {key: value for key, value in SHAPES.items() if key != "token"})
