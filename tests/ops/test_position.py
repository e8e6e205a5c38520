"""The sine-cosine table against the formula, entry by entry; resizing against PyTorch."""

import math

import jax
import numpy as np
import pytest

from vidjax import ops


@pytest.mark.parametrize(("n", "d"), [(1568, 8), (5, 7)])
def test_the_table_follows_the_formula_of_the_transformer_paper(n, d):
    table = np.asarray(jax.jit(lambda: ops.sincos_1d(n, d))())
    for position in (0, 1, n // 2, n - 1):
        for j in range(d):
            angle = position / math.pow(10000, 2 * (j // 2) / d)
            expected = math.cos(angle) if j % 2 else math.sin(angle)
            assert table[position, j] == pytest.approx(expected, abs=1e-6)


def test_resizing_takes_the_entries_that_pytorch_takes():
    """Also where float32 rounds an entry's position down, as from 14 to 46."""
    torch = pytest.importorskip("torch", reason="the oracle is in PyTorch (extra: test)")
    for old in (1, 3, 7, 8, 14, 30, 39):
        for new in (1, 2, 5, 8, 12, 14, 16, 29, 46, 82):
            wanted = torch.nn.functional.interpolate(torch.arange(float(old))[None, None], size=new, mode="nearest")
            found = ops.resize_nearest(np.arange(old, dtype=np.float32)[:, None], (new,))
            np.testing.assert_array_equal(np.asarray(found)[:, 0], wanted[0, 0].numpy(), err_msg=f"{old} to {new}")


@pytest.mark.parametrize(("old", "new"), [((3, 5), (3, 5)), ((14, 14), (6, 6)), ((4, 7), (9, 5)), ((2, 3), (4, 6))])
def test_a_plane_is_resized_under_jit_as_pytorch_does(old, new):
    torch = pytest.importorskip("torch", reason="the oracle is in PyTorch (extra: test)")
    table = np.random.default_rng(0).normal(size=(*old, 4)).astype(np.float32)
    wanted = torch.nn.functional.interpolate(torch.from_numpy(table).permute(2, 0, 1)[None], size=new, mode="nearest")
    found = jax.jit(ops.resize_nearest, static_argnums=1)(table, new)
    np.testing.assert_array_equal(found, wanted[0].permute(1, 2, 0).numpy())


@pytest.mark.parametrize("size", [(7, 5), (12, 30), (9, 4)])
def test_frames_are_resized_as_pytorchs_bicubic_does(size):
    torch = pytest.importorskip("torch", reason="the oracle is PyTorch (extra: test)")
    frames = np.random.default_rng(0).normal(size=(2, 3, 9, 4, 3)).astype(np.float32)
    flat = torch.from_numpy(frames.reshape(6, 9, 4, 3).transpose(0, 3, 1, 2))
    wanted = torch.nn.functional.interpolate(flat, size=size, mode="bicubic", align_corners=False)
    found = jax.jit(lambda x: ops.resize_cubic(x, size))(frames)
    np.testing.assert_allclose(found.reshape(6, *size, 3), wanted.numpy().transpose(0, 2, 3, 1), rtol=0, atol=1e-5)
