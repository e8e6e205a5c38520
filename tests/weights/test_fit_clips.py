"""Clips of any size are resized under a JAX transformation as evaluation does with OpenCV or Pillow."""

import jax
import numpy as np
import pytest

from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.clips.resize import INTERPOLATIONS
from vidjax.weights.fit_clips import fit_on_host, fit_traced

SIZES = [(16, 24), (32, 48), (31, 90), (90, 31), (12, 50), (50, 12), (23, 23), (9, 11), (16, 100)]


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_frames_are_resized_as_on_the_host(size, interpolation):
    recipe = ClipRecipe(image_size=(16, 24), interpolation=interpolation)
    clips = np.random.default_rng(0).integers(0, 256, (2, 3, *size, 3), dtype=np.uint8)
    fit = jax.jit(lambda clips: fit_traced(clips, recipe))
    floats = (clips / 255).astype(np.float32)
    np.testing.assert_allclose(fit(floats), fit_on_host(floats, recipe), atol=2e-6)
    ours, theirs = np.asarray(fit(clips)).astype(int), fit_on_host(clips, recipe).astype(int)
    assert ours.shape == (2, 3, 16, 24, 3)
    # For uint8, OpenCV and Pillow round their weights, and round twice: after the rows and after the columns.
    assert np.abs(ours - theirs).max() <= 1
    assert np.mean(ours != theirs) < 0.25


@pytest.mark.parametrize("long", [17, 20, 33])
def test_the_middle_is_kept(long):
    recipe = ClipRecipe(image_size=16)
    ramp = np.broadcast_to(np.arange(long, dtype=np.uint8)[:, None, None], (1, 1, long, 16, 3))
    kept = np.asarray(fit_traced(ramp, recipe))[0, 0, :, 0, 0]
    np.testing.assert_array_equal(kept, np.arange(16) + round((long - 16) / 2))
