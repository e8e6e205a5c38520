"""Erasing, mixup and cutmix: hand-made cases in NumPy, and the distributions of their draws."""

import math
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from vidjax.objectives.mixing import Mixing, cutmix_weights, erase_box, mix, mix_weights, random_erase


def test_mixup_blends_each_row_with_its_mirror_and_the_targets_alike():
    clips = np.random.default_rng(0).normal(size=(4, 2, 3, 3, 3)).astype(np.float32)
    targets = np.eye(4, dtype=np.float32)
    mixed, soft = jax.jit(mix)(clips, targets, jnp.full((1, 3, 3), 0.7))
    np.testing.assert_allclose(mixed, 0.7 * clips + 0.3 * clips[[3, 2, 1, 0]], atol=1e-6)
    np.testing.assert_allclose(soft[0], [0.7, 0, 0, 0.3], atol=1e-6)
    np.testing.assert_allclose(soft[2], [0, 0.3, 0.7, 0], atol=1e-6)


def test_cutmix_pastes_the_rectangle_in_all_frames_and_weighs_targets_by_its_area():
    clips = np.stack([np.full((2, 4, 5, 3), value, np.float32) for value in (1.0, 2.0)])
    weights = np.ones((4, 5), np.float32)
    weights[1:3, 2:5] = 0
    mixed, soft = jax.jit(mix)(clips, np.eye(2, dtype=np.float32), weights[None])
    np.testing.assert_array_equal(mixed[0, 1, :, :, 0], np.where(weights, 1, 2))
    np.testing.assert_array_equal(mixed[1, 0, :, :, 2], np.where(weights, 2, 1))
    np.testing.assert_allclose(soft, [[14 / 20, 6 / 20], [6 / 20, 14 / 20]], atol=1e-6)


def test_each_group_is_mixed_as_the_batch_of_one_gpu():
    """VideoMAE's mixup.py: `x.flip(0)` over the batch of a GPU, with one lambda or one box for all its clips."""
    rng = np.random.default_rng(0)
    clips = rng.normal(size=(12, 2, 5, 4, 3)).astype(np.float32)
    targets = rng.random((12, 7)).astype(np.float32)
    weights = np.ones((3, 5, 4), np.float32)
    weights[0] = 0.3  # mixup on the first GPU
    weights[1, 1:4, 2:] = 0  # a box on the second, and nothing on the third
    mixed, soft = jax.jit(mix)(clips, targets, weights)
    for gpu in range(3):
        own = slice(4 * gpu, 4 * gpu + 4)
        x, y = clips[own].copy(), targets[own]
        flipped_x, flipped_y = np.flip(x, 0), np.flip(y, 0)
        if gpu == 0:
            x, y = x * 0.3 + flipped_x * 0.7, y * 0.3 + flipped_y * 0.7
        elif gpu == 1:
            x[:, :, 1:4, 2:4] = flipped_x[:, :, 1:4, 2:4]
            y = y * (1 - 6 / 20) + flipped_y * 6 / 20
        np.testing.assert_allclose(mixed[own], x, atol=1e-6)
        np.testing.assert_allclose(soft[own], y, atol=1e-6)


def test_a_cutmix_rectangle_within_the_borders_has_the_requested_area():
    areas = [np.asarray(cutmix_weights(jax.random.key(seed), jnp.float32(0.75), 40, 20) == 0) for seed in range(60)]
    for inside in areas:
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        assert inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()  # one rectangle
    # sqrt(1 - 0.75) = 1/2 of each side.
    assert max(inside.sum() for inside in areas) == 20 * 10
    assert len({inside.tobytes() for inside in areas}) > 30


def test_cutmix_with_lambda_one_changes_nothing():
    np.testing.assert_array_equal(cutmix_weights(jax.random.key(0), jnp.float32(1.0), 8, 8), np.ones((8, 8)))


def test_batches_switch_between_mixup_and_cutmix_as_often_as_configured():
    draw = jax.jit(jax.vmap(lambda key: mix_weights(key, 16, 16, Mixing(0.8, 1.0, prob=0.8, switch_prob=0.25))))
    weights = np.asarray(draw(jax.random.split(jax.random.key(0), 4000))).reshape(4000, -1)
    constant = (weights == weights[:, :1]).all(axis=1)
    mixup = constant & (weights[:, 0] < 1)
    # One cutmix rectangle in 64 is smaller than two pixels and thus empty, well within the tolerance.
    assert mixup.mean() == pytest.approx(0.8 * 0.75, abs=0.03)
    assert (~constant).mean() == pytest.approx(0.8 * 0.25, abs=0.03)


def test_mixup_lambda_follows_the_beta_distribution():
    draw = jax.vmap(lambda key: mix_weights(key, 1, 1, Mixing(mixup=0.8))[0, 0])
    lam = np.asarray(jax.jit(draw)(jax.random.split(jax.random.key(1), 2000)))
    assert scipy.stats.kstest(lam, scipy.stats.beta(0.8, 0.8).cdf).pvalue > 1e-3


def test_erased_rectangles_have_the_areas_and_aspects_of_the_paper():
    height, width = 48, 64
    keys = jax.random.split(jax.random.key(0), 1000)
    boxes = np.asarray(jax.jit(jax.vmap(lambda key: erase_box(key, height, width, 1.0)))(keys))
    sides = np.stack([boxes.any(axis=2).sum(axis=1), boxes.any(axis=1).sum(axis=1)])
    assert (boxes.sum(axis=(1, 2)) == sides[0] * sides[1]).all()
    share = boxes.mean(axis=(1, 2))
    assert share.min() > 0.015
    assert share.max() < 1 / 3 + 0.02
    aspect = sides[0] / sides[1]
    assert aspect.min() > 0.25
    assert aspect.max() < 4
    assert np.log(aspect).mean() == pytest.approx(0, abs=0.1)
    assert boxes[:, 0].any()  # rectangles reach all four borders
    assert boxes[:, -1].any()
    assert boxes[:, :, 0].any()
    assert boxes[:, :, -1].any()


def erase_as_videomae(height, width, draw):
    """Top, left, height and width as in random_erasing.py:115-149 (`_erase_cube`, one box); None after 100 misses."""
    for _ in range(100):
        target_area = draw.uniform(0.02, 1 / 3) * height * width
        aspect_ratio = math.exp(draw.uniform(math.log(0.3), math.log(1 / 0.3)))
        h = round(math.sqrt(target_area * aspect_ratio))
        w = round(math.sqrt(target_area / aspect_ratio))
        if w < width and h < height:
            return draw.randint(0, height - h), draw.randint(0, width - w), h, w
    return None


@pytest.mark.parametrize(("height", "width"), [(56, 56), (8, 128)])
def test_erased_rectangles_are_drawn_as_in_videomae(height, width):
    """On a wide frame most draws are too high: for one clip in five, all of ten would be; the authors keep trying."""
    count, draw = 2000, random.Random(0)
    theirs = np.array([erase_as_videomae(height, width, draw) for _ in range(count)])
    keys = jax.random.split(jax.random.key(0), count)
    boxes = np.asarray(jax.jit(jax.vmap(lambda key: erase_box(key, height, width, 1.0)))(keys))
    rows, columns = boxes.any(axis=2), boxes.any(axis=1)
    assert rows.any(axis=1).all()
    ours = np.stack([rows.argmax(axis=1), columns.argmax(axis=1), rows.sum(axis=1), columns.sum(axis=1)], axis=1)
    for ours_of, theirs_of in zip(ours.T, theirs.T, strict=True):
        assert scipy.stats.ks_2samp(ours_of, theirs_of).pvalue > 1e-3


def test_erasing_probability_and_one_region_for_all_frames():
    clips = jnp.zeros((400, 3, 12, 12, 3))
    out = np.asarray(jax.jit(random_erase, static_argnums=2)(jax.random.split(jax.random.key(3), 400), clips, 0.25))
    changed = (out != 0).any(axis=-1)
    assert (changed == changed[:, :1]).all()
    assert changed.any(axis=(1, 2, 3)).mean() == pytest.approx(0.25, abs=0.08)
    noise = out[np.broadcast_to(changed[..., None], out.shape)]
    assert noise.mean() == pytest.approx(0, abs=0.05)
    assert noise.std() == pytest.approx(1, abs=0.05)
    frames = out[changed.any(axis=(1, 2, 3))]
    assert not np.allclose(frames[:, 0], frames[:, 1])  # each frame has its own noise
