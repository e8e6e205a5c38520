"""Masks of blocks against a NumPy version of the paper's, and their fixed lengths."""

import math

import jax
import numpy as np
import pytest

from vidjax import ops
from vidjax.errors import ConfigError
from vidjax.ops import Blocks, block_masking

MASKS = {"short": Blocks(8, 0.15), "long": Blocks(2, 0.7)}
GRID = (4, 16, 16)


def draw(grid, blocks, rows, seed=0):
    """The masks of some rows, as arrays."""
    drawn = jax.jit(lambda key: ops.block_mask(key, rows, grid, blocks))(jax.random.key(seed))
    return tuple(map(np.asarray, drawn))


def numpy_hidden(rng, grid, blocks, aspect=None):
    """The hidden places of one clip, by the words of the paper's appendix: blocks of one size, at random places."""
    _, h, w = grid
    aspect, area = aspect or rng.uniform(*blocks.aspect), int(h * w * blocks.area)
    high, wide = min(round(math.sqrt(area * aspect)), h), min(round(math.sqrt(area / aspect)), w)
    hidden = np.zeros((h, w), bool)
    while not hidden.any() or hidden.all():
        hidden[:] = False
        for _ in range(blocks.number):
            top, left = rng.integers(h - high + 1), rng.integers(w - wide + 1)
            hidden[top : top + high, left : left + wide] = True
    return hidden


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("grid", [(8, 16, 16), (2, 6, 9)])
def test_tokens_are_ascending_and_none_is_both_seen_and_predicted(name, grid):
    seen, predicted = draw(grid, MASKS[name], 64)
    assert (seen.shape[1], predicted.shape[1]) == ops.num_block_tokens(grid, MASKS[name])
    assert (np.diff(seen) > 0).all()
    assert (np.diff(predicted) > 0).all()
    assert all(not set(ours) & set(theirs) for ours, theirs in zip(seen.tolist(), predicted.tolist(), strict=True))
    assert min(seen.min(), predicted.min()) >= 0
    assert max(seen.max(), predicted.max()) < math.prod(grid)


@pytest.mark.parametrize("name", MASKS)
def test_lengths_are_the_mean_of_the_shortest_masks_in_the_authors_batches(name):
    """300 batches of 24 clips, whose masks have one shape, as the authors draw it; theirs are rounded down here."""
    rng, shortest = np.random.default_rng(1), []
    for _ in range(300):
        aspect = rng.uniform(0.75, 1.5)
        places = [numpy_hidden(rng, GRID, MASKS[name], aspect).sum() for _ in range(24)]
        shortest.append((256 - max(places), min(places)))
    mean, error = np.mean(shortest, axis=0), np.std(shortest, axis=0) * math.sqrt(1 / 300 + 1 / 256)
    found = np.array(ops.num_block_tokens(GRID, MASKS[name])) / GRID[0]
    assert (found > mean - 1 - 4 * error).all()
    assert (found < mean + 4 * error).all()


@pytest.mark.parametrize("name", MASKS)
def test_places_are_hidden_as_often_as_in_the_numpy_version(name):
    """In the first time slice, what is not seen is hidden, unless a clip's tokens are already used up there."""
    rows, places = 2000, 256
    seen, _ = draw(GRID, MASKS[name], rows)
    first = np.stack([np.bincount(row[row < places], minlength=places) for row in seen])
    k, m = (number // GRID[0] for number in ops.num_block_tokens(GRID, MASKS[name]))
    rng, wanted = np.random.default_rng(2), []
    while len(wanted) < rows:
        hidden = numpy_hidden(rng, GRID, MASKS[name])
        if hidden.sum() >= m and (~hidden).sum() >= k:  # others are drawn again
            visible = ~hidden.ravel()
            wanted.append(visible & (np.cumsum(visible) <= GRID[0] * k))
    share, expected = first.mean(axis=0), np.mean(wanted, axis=0)
    deviation = np.sqrt(np.maximum(expected * (1 - expected), 0.001) * 2 / rows)
    np.testing.assert_allclose(share, expected, atol=5 * deviation.max())
    spread = first.sum(axis=1).std(), np.sum(wanted, axis=1).std()
    np.testing.assert_allclose(*spread, rtol=0.1)  # of the number of visible places: 2000 draws have 2 % of error


def test_a_block_is_a_rectangle_over_all_time_slices():
    """A share of 0.3 of 80 places at a height / width of 2/3 is 4 places high and 6 wide, anywhere."""
    grid, blocks = (3, 8, 10), Blocks(1, 0.3, (2 / 3, 2 / 3))
    _, predicted = draw(grid, blocks, 200)
    corners = set()
    for row in predicted.reshape(200, 3, 24):
        rows, columns = np.divmod(row[0], 10)
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (4, 6)
        assert (row[1:] == row[0] + [[80], [160]]).all()
        corners.add((rows.min(), columns.min()))
    assert corners == {(top, left) for top in range(5) for left in range(5)}


def test_masks_are_cut_at_their_end():
    """The last slice loses most tokens, as in the authors' code."""
    seen, predicted = draw(GRID, MASKS["long"], 500)
    for tokens in (seen, predicted):
        per_slice = np.stack([np.bincount(row // 256, minlength=4) for row in tokens])
        assert (np.diff(per_slice[:, :3], axis=1) <= 0).all()
        assert per_slice[:, 0].mean() > 1.2 * per_slice[:, 3].mean()


def test_masks_that_are_too_short_are_filled_up(monkeypatch):
    """Without further draws, some masks lack tokens; lengths stay, and no token is both seen and predicted."""
    monkeypatch.setattr(block_masking, "TRIES", 1)
    grid, blocks = (2, 6, 6), Blocks(4, 0.2, clips=2)
    seen, predicted = draw(grid, blocks, 400)
    k, m = ops.num_block_tokens(grid, blocks)
    assert (seen.shape, predicted.shape) == ((400, k), (400, m))
    both = np.concatenate([seen, predicted], axis=1)
    assert (np.diff(np.sort(both, axis=1), axis=1) > 0).all()
    hidden = np.array([numpy_hidden(np.random.default_rng(seed), grid, blocks).sum() for seed in range(400)])
    assert ((hidden * 2 < m) | ((36 - hidden) * 2 < k)).mean() > 0.2  # so that the test says something


def test_a_longer_clip_has_the_same_share_of_tokens_and_fewer_clips_more():
    few, many = (ops.num_block_tokens((t, 16, 16), MASKS["short"]) for t in (8, 32))
    assert tuple(4 * number for number in few) == many
    of_six = ops.num_block_tokens((8, 16, 16), Blocks(8, 0.15, clips=6))
    assert all(more > less for more, less in zip(of_six, few, strict=True))


@pytest.mark.parametrize(
    ("grid", "blocks", "sentence"),
    [
        ((4, 2, 2), Blocks(8, 0.15), "8 blocks of 0.15 .* leave nothing to predict on the grid 4x2x2 .* larger blocks"),
        (
            (4, 4, 4),
            Blocks(2, 1.0, (1.0, 1.0)),
            "2 blocks of 1.0 .* leave nothing to see on the grid 4x4x4 .* smaller blocks",
        ),
    ],
)
def test_masks_that_leave_nothing_are_refused(grid, blocks, sentence):
    with pytest.raises(ConfigError, match=sentence):
        ops.num_block_tokens(grid, blocks)
    with pytest.raises(ConfigError, match=sentence):
        ops.block_mask(jax.random.key(0), 1, grid, blocks)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ((0, 0.5), "a mask of 0 blocks of 0.5"),
        ((2, 1.5), "a mask of 2 blocks of 1.5"),
        ((2, 0.0), "shares above 0"),
        ((2, 0.5, (1.5, 0.75)), r"jepa.block_aspect=\(1.5, 0.75\) must be two positive numbers"),
        ((2, 0.5, (0.0, 0.75)), "two positive numbers"),
    ],
)
def test_impossible_blocks_are_refused(fields, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Blocks(*fields)
