"""Patches against explicit loops over the pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidjax import ops


def test_patchify_lists_cubes_time_first_and_channels_fastest():
    video = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 9, 3), dtype=np.uint8)
    patches = np.asarray(jax.jit(ops.patchify, static_argnums=(1, 2))(video, 2, 3))
    assert patches.dtype == np.uint8
    number = 0
    for t in range(0, 4, 2):
        for y in range(0, 6, 3):
            for x in range(0, 9, 3):
                cube = video[:, t : t + 2, y : y + 3, x : x + 3]
                np.testing.assert_array_equal(patches[:, number], cube.reshape(2, -1))
                number += 1
    assert number == patches.shape[1]


@pytest.mark.parametrize(("tubelet", "patch"), [(1, 2), (2, 3), (4, 6)])
def test_unpatchify_undoes_patchify(tubelet, patch):
    video = np.random.default_rng(0).normal(size=(2, 4, 6, 12, 3)).astype(np.float32)
    patches = ops.patchify(jnp.asarray(video), tubelet, patch)
    unpatchify = jax.jit(ops.unpatchify, static_argnums=(1, 2, 3))
    back = unpatchify(patches, (4 // tubelet, 6 // patch, 12 // patch), tubelet, patch)
    np.testing.assert_array_equal(back, video)


def test_target_is_normalised_per_cube_and_colour_with_the_sample_variance():
    patches = np.random.default_rng(1).random((2, 5, 2 * 4 * 4 * 3)).astype(np.float32)
    patches[0, 0] = 0.25  # a constant cube must stay finite
    expected = np.empty_like(patches)
    for b in range(2):
        for n in range(5):
            for c in range(3):
                pixels = patches[b, n, c::3].astype(np.float64)
                expected[b, n, c::3] = (pixels - pixels.mean()) / (np.std(pixels, ddof=1) + 1e-6)
    np.testing.assert_allclose(jax.jit(ops.normalize_patches)(patches), expected, atol=2e-5)


def test_gather_tokens_picks_by_row():
    tokens = np.random.default_rng(2).normal(size=(3, 7, 2)).astype(np.float32)
    index = np.array([[0, 6], [3, 3], [5, 1]])
    expected = np.stack([tokens[row, index[row]] for row in range(3)])
    np.testing.assert_array_equal(jax.jit(ops.gather_tokens)(tokens, index), expected)
