"""Masks partition the tokens, keep their promised counts, and are uniform."""

import jax
import numpy as np
import pytest

from vidjax import ops
from vidjax.errors import ConfigError

GRIDS = [(8, 14, 14), (4, 3, 5), (2, 4, 4)]
KINDS = {"tube": ops.tube_mask, "random": ops.random_mask, "frame": ops.frame_mask}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grid", GRIDS)
def test_visible_and_masked_are_ascending_and_together_all_tokens(kind, grid):
    draw = jax.jit(KINDS[kind], static_argnums=(1, 2, 3))
    visible, masked = (np.asarray(x) for x in draw(jax.random.key(0), 3, grid, 0.5))
    assert masked.shape == (3, ops.num_masked(grid, 0.5, kind))
    assert (np.diff(visible) > 0).all()
    assert (np.diff(masked) > 0).all()
    every = np.sort(np.concatenate([visible, masked], axis=1), axis=1)
    np.testing.assert_array_equal(every, np.tile(np.arange(np.prod(grid)), (3, 1)))


def test_counts_are_those_of_the_paper_at_224_pixels():
    # VideoMAE: 176 of 196 places of each of 8 slices are hidden at a ratio of 0.9, 147 at 0.75.
    assert ops.num_masked((8, 14, 14), 0.9, "tube") == 1408
    assert ops.num_masked((8, 14, 14), 0.75, "tube") == 8 * 147
    assert ops.num_masked((8, 14, 14), 0.9, "random") == 1411
    assert ops.num_masked((8, 14, 14), 0.5, "frame") == 4 * 196


def test_tube_hides_the_same_places_in_every_slice_and_others_in_the_next_row():
    grid = (4, 6, 5)
    _, masked = ops.tube_mask(jax.random.key(1), 16, grid, 0.6)
    hidden = np.zeros((16, 4, 30), bool)
    np.put_along_axis(hidden.reshape(16, -1), np.asarray(masked), True, axis=1)
    assert (hidden == hidden[:, :1]).all()
    assert len({row.tobytes() for row in hidden}) == 16


def test_frame_hides_whole_slices():
    _, masked = ops.frame_mask(jax.random.key(1), 8, (6, 3, 4), 0.5)
    per_slice = np.stack([np.bincount(row // 12, minlength=6) for row in np.asarray(masked)])
    assert set(np.unique(per_slice)) == {0, 12}
    assert (per_slice > 0).sum(axis=1).tolist() == [3] * 8


@pytest.mark.parametrize("kind", KINDS)
def test_every_token_is_hidden_equally_often(kind):
    grid, rows = (4, 3, 4), 4000
    _, masked = KINDS[kind](jax.random.key(2), rows, grid, 0.75)
    share = np.bincount(np.asarray(masked).ravel(), minlength=48) / rows
    deviation = np.sqrt(0.75 * 0.25 / rows)
    np.testing.assert_allclose(share, masked.shape[1] / 48, atol=5 * deviation)


@pytest.mark.parametrize(("ratio", "kind"), [(0.01, "tube"), (1.0, "tube"), (0.1, "frame"), (0.0, "random")])
def test_a_ratio_that_hides_nothing_or_everything_is_refused(ratio, kind):
    with pytest.raises(ConfigError, match="mask_ratio"):
        ops.num_masked((4, 4, 4), ratio, kind)
