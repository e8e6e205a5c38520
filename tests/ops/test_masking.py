"""Masks partition the tokens, have the documented counts and are uniform; the running cell moves."""

import collections
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidjax import ops
from vidjax.errors import ConfigError

GRIDS = [(8, 14, 14), (4, 3, 5), (2, 4, 4)]
KINDS = {"tube": ops.tube_mask, "random": ops.random_mask, "frame": ops.frame_mask}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grid", GRIDS)
def test_visible_and_masked_are_ascending_and_cover_all_tokens(kind, grid):
    draw = jax.jit(KINDS[kind], static_argnums=(1, 2, 3))
    visible, masked = (np.asarray(x) for x in draw(jax.random.key(0), 3, grid, 0.5))
    assert masked.shape == (3, ops.num_masked(grid, 0.5, kind))
    assert (np.diff(visible) > 0).all()
    assert (np.diff(masked) > 0).all()
    every = np.sort(np.concatenate([visible, masked], axis=1), axis=1)
    np.testing.assert_array_equal(every, np.tile(np.arange(np.prod(grid)), (3, 1)))


def test_counts_match_the_paper_at_224_pixels():
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


# One 2x2 cell over five slices, from each of its four starts; # is kept. The places in reading order form a ring, and
# the kept ones move along it by one per slice.
HALF = ["##.. #..# ..## .##. ##..", "#..# ..## .##. ##.. #..#", "..## .##. ##.. #..# ..##", ".##. ##.. #..# ..## .##."]
ONE = ["#... ...# ..#. .#.. #...", "...# ..#. .#.. #... ...#", "..#. .#.. #... ...# ..#.", ".#.. #... ...# ..#. .#.."]
THREE = ["###. ##.# #.## .### ###.", "##.# #.## .### ###. ##.#", "#.## .### ###. ##.# #.##", ".### ###. ##.# #.## .###"]


@pytest.mark.parametrize(("ratio", "drawn"), [(0.5, HALF), (0.75, ONE), (0.25, THREE)])
def test_a_running_cell_keeps_neighbours_and_moves_by_one_each_slice(ratio, drawn):
    grid = (5, 2, 2)
    kept = np.asarray(jax.jit(ops.running_cell_mask, static_argnums=(1, 2, 3))(jax.random.key(0), 64, grid, ratio))
    assert kept.shape == (64, ops.num_kept(grid, ratio))
    marks = {"".join("#" if token in row else "." for token in range(20)) for row in kept.tolist()}
    assert marks == {start.replace(" ", "") for start in drawn}


def test_all_cells_of_a_slice_keep_the_same_places():
    kept = np.asarray(ops.running_cell_mask(jax.random.key(0), 8, (4, 4, 6), 0.5))
    assert (np.diff(kept) > 0).all()
    marks = np.zeros((8, 4, 2, 2, 3, 2), bool)  # rows, slices, (cell, place) along height and along width
    np.put_along_axis(marks.reshape(8, -1), kept, True, axis=1)
    assert (marks == marks[:, :, :1, :, :1]).all()
    assert (marks.sum(axis=1) == 2).all()  # every place twice in four slices


def test_half_of_what_a_tube_hides_is_predicted_whatever_the_draw():
    """A tube hides a place in all slices, and the cell keeps each place in two of four, so the count is exact."""
    grid = (8, 14, 14)
    assert ops.num_kept(grid, 0.5) == 784
    for seed in range(8):
        tube, cell = jax.random.split(jax.random.key(seed))
        _, masked = ops.tube_mask(tube, 4, grid, 0.9)
        kept = ops.running_cell_mask(cell, 4, grid, 0.5)
        shared = [np.intersect1d(m, k).size for m, k in zip(np.asarray(masked), np.asarray(kept), strict=True)]
        assert shared == [704] * 4  # 176 places, 4 of 8 slices each


@pytest.mark.parametrize(
    ("grid", "ratio", "sentence"),
    [((8, 15, 14), 0.5, "not 15x14"), ((8, 14, 3), 0.5, "not 14x3"), ((8, 4, 4), 0.2, "0.2 drops 0 of the 4 places")],
)
def test_a_running_cell_that_does_not_fit_is_refused(grid, ratio, sentence):
    with pytest.raises(ConfigError, match=sentence):
        ops.num_kept(grid, ratio)


def without_replacement(weights, draws):
    """The probability of each set of places, drawn one after the other by weight among those left."""
    found = {}
    for order in itertools.permutations(range(len(weights)), draws):
        probability, left = 1.0, sum(weights)
        for place in order:
            probability, left = probability * weights[place] / left, left - weights[place]
        found[frozenset(order)] = found.get(frozenset(order), 0.0) + probability
    return found


def test_an_attention_mask_draws_as_the_authors_multinomial_does():
    """`torch.multinomial(attn, N)`, whose first N - int(N ratio) stay: draws without replacement, by weight."""
    weights, draws, rows = (0.5, 0.1, 0.05, 0.15), 2, 20000  # they need not sum to 1: the class token has the rest
    attention = jnp.asarray([weights])
    keys = jax.random.split(jax.random.key(0), rows)
    kept = np.asarray(jax.jit(jax.vmap(lambda key: ops.attention_mask(key, attention, 0.6)))(keys))
    assert kept.shape == (rows, draws)  # 4 - int(4 * 0.6)
    found = collections.Counter(map(frozenset, kept.tolist()))
    for places, probability in without_replacement(weights, draws).items():
        deviation = (probability * (1 - probability) / rows) ** 0.5
        assert abs(found[places] / rows - probability) < 4 * deviation, sorted(places)


def test_an_attention_mask_keeps_equally_many_of_each_frame_in_their_order():
    attention = np.random.default_rng(0).random((8, 196)) + 1e-3
    attention[:, 7] = 0
    kept = np.asarray(ops.attention_mask(jax.random.key(1), jnp.asarray(attention), 0.8))
    assert kept.shape == (8 * (196 - 156),)  # int(196 * 0.8) = 156
    assert (np.diff(kept) > 0).all()
    assert (np.bincount(kept // 196) == 40).all()
    assert 7 not in kept % 196  # a place without attention is never kept
