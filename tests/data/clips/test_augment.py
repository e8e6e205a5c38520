"""Spatial augmentation: the right region, the same for every frame, and uint8 throughout."""

import cv2
import numpy as np
import pytest

from vidjax.config import DataConfig
from vidjax.data.clips.augment import CROPS, augment, check_crop, eval_crops
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.clips.resize import resize
from vidjax.errors import ConfigError

RAMP = np.stack(np.meshgrid(np.arange(80), np.arange(100, 160), [0]), -1)[:, :, 0].astype(np.uint8)[None].repeat(3, 0)
# (3 60 80 3): channel 0 is the column, channel 1 is 100 + the row


def region(clip):
    """Top, left, bottom, right (inclusive) of a crop of RAMP that was not resized."""
    return clip[0, 0, 0, 1] - 100, clip[0, 0, 0, 0], clip[0, -1, -1, 1] - 100, clip[0, -1, -1, 0]


@pytest.mark.parametrize("crop", ["multi_scale", "random_resized", "short_side", "short_side_inverse", "center"])
def test_every_frame_gets_the_same_draw(crop):
    still = np.random.default_rng(0).integers(0, 256, (1, 70, 90, 3), np.uint8).repeat(4, 0)
    data = DataConfig(image_size=32, crop=crop, short_side=(35, 60), flip=0.5, rand_augment="rand-m7-n4-mstd0.5-inc1")
    for seed in range(20):
        clip = augment(still, data, np.random.default_rng(seed))
        assert clip.shape == (4, 32, 32, 3)
        assert clip.dtype == np.uint8
        assert (clip == clip[:1]).all()


def test_the_same_random_numbers_give_the_same_clip():
    data = DataConfig(image_size=32, flip=0.5)
    first, second = (augment(RAMP, data, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, augment(RAMP, data, np.random.default_rng(6)))


def test_multi_scale_crops_lie_at_13_places_with_sides_at_most_one_scale_apart():
    full = DataConfig(image_size=60, crop="multi_scale", crop_scales=(1.0,))
    rng = np.random.default_rng(0)
    places = {region(augment(RAMP, full, rng))[:2] for _ in range(300)}
    assert places == {(0, 0), (0, 5), (0, 10), (0, 15), (0, 20)}  # a crop of full height only moves sideways
    half = DataConfig(image_size=30, crop="multi_scale", crop_scales=(0.5,))
    places = {region(augment(RAMP, half, rng))[:2] for _ in range(600)}
    rows, columns = (0, 7, 14, 21, 28), (0, 12, 24, 36, 48)
    corners = {(rows[i], columns[j]) for i in range(5) for j in range(5) if i % 2 == j % 2}
    assert places == corners  # 9 on even quarters, 4 on odd ones
    assert len(corners) == 13


def test_multi_scale_sides_come_from_the_list_and_stay_close(monkeypatch):
    seen = set()

    def spy(frames, size, interpolation, out):
        seen.add(frames.shape[1:3])
        return resize(frames, size, interpolation, out)

    monkeypatch.setattr("vidjax.data.clips.augment.resize", spy)
    data, rng = DataConfig(image_size=20, crop="multi_scale", crop_scales=(1.0, 0.75, 0.5)), np.random.default_rng(0)
    for _ in range(200):
        augment(RAMP, data, rng)
    assert seen == {(60, 60), (60, 45), (45, 60), (45, 45), (45, 30), (30, 45), (30, 30)}


def test_random_resized_crops_keep_to_their_area_and_aspect(monkeypatch):
    seen = []

    def spy(frames, size, interpolation, out):
        seen.append(frames.shape[1:3])
        return resize(frames, size, interpolation, out)

    monkeypatch.setattr("vidjax.data.clips.augment.resize", spy)
    data, rng = DataConfig(image_size=20, crop="random_resized", crop_area=(0.2, 0.6)), np.random.default_rng(0)
    for _ in range(300):
        augment(RAMP, data, rng)
    height, width = np.array(seen).T
    area, aspect = height * width / 4800, width / height
    assert 0.17 < area.min() < 0.25
    assert 0.5 < area.max() < 0.63
    assert 0.7 < aspect.min() < 0.8
    assert 1.25 < aspect.max() < 1.4


def test_a_short_side_crop_is_cut_from_the_resized_frame(monkeypatch):
    """Frames encode the origin of each pixel, which is off by at most the rounding to whole pixels before and after."""
    rows, columns = np.mgrid[:120, :160]
    frames = np.stack([columns, rows, rows], -1).astype(np.uint8)[None]
    data, rng = DataConfig(image_size=48, crop="short_side", short_side=(60, 90)), np.random.default_rng(0)
    parts = []

    def spy(part, size, interpolation, out):
        parts.append(part[0])
        return resize(part, size, interpolation, out)

    monkeypatch.setattr("vidjax.data.clips.augment.resize", spy)
    shorts = []
    for _ in range(60):
        clip = augment(frames, data, rng)
        part = parts[-1]
        assert part.shape[0] == part.shape[1]
        short = 120 * 48 / part.shape[0]  # at which this part would have 48 pixels
        whole = cv2.resize(frames[0], (round(160 * short / 120), round(short)), interpolation=cv2.INTER_LINEAR)
        left, top = (round(float(place) * short / 120) for place in part[0, 0, :2])
        left, top = min(left, whole.shape[1] - 48), min(top, whole.shape[0] - 48)
        cut = whole[top : top + 48, left : left + 48]
        assert np.abs(clip[0].astype(int) - cut).max() <= 2
        shorts.append(short)
    assert 59 < min(shorts) < 64
    assert 86 < max(shorts) < 92


def test_the_inverse_of_a_short_side_is_uniform_as_in_timesformer_on_ssv2():
    """Its transform.py:32 in the test's own words; a square of 224 pixels is cut from the resized frame."""
    data = DataConfig(image_size=224, crop="short_side_inverse", short_side=(256, 320))
    for seed in range(50):
        length = int(np.round(1.0 / np.random.default_rng(seed).uniform(1.0 / 320, 1.0 / 256)))
        top, left, height, width = CROPS["short_side_inverse"](1120, 2000, data, np.random.default_rng(seed))
        assert height == width == round(224 / length * 1120)
        assert 0 <= top <= 1120 - height
        assert 0 <= left <= 2000 - width


@pytest.mark.parametrize("short_side", [(200, 256), (320, 256), (256,)])
def test_a_short_side_shorter_than_the_crop_is_refused(short_side):
    with pytest.raises(ConfigError, match="with image_size=224 <= low <= high"):
        check_crop(DataConfig(image_size=224, crop="short_side", short_side=short_side))
    check_crop(DataConfig(image_size=224, crop="center", short_side=short_side))


def test_flip_mirrors_columns_of_every_frame():
    plain = augment(RAMP, DataConfig(image_size=60, crop="center", flip=0.0), np.random.default_rng(0))
    mirrored = augment(RAMP, DataConfig(image_size=60, crop="center", flip=1.0), np.random.default_rng(0))
    np.testing.assert_array_equal(mirrored, plain[:, :, ::-1])
    assert region(plain) == (0, 10, 59, 69)


def test_augmenting_leaves_the_decoded_frames_alone():
    before = RAMP.copy()
    for size in (60, 30):
        augment(RAMP[:, :, :60], DataConfig(image_size=size, crop="center", flip=1.0), np.random.default_rng(0))
    np.testing.assert_array_equal(RAMP, before)


@pytest.mark.parametrize(("crops", "lefts"), [(3, [0, 10, 20]), (2, [0, 20]), (1, [10])])
def test_eval_crops_are_spread_along_the_long_side(crops, lefts):
    recipe = ClipRecipe(image_size=60, crops=crops)
    wide, tall = eval_crops(RAMP, recipe), eval_crops(RAMP.transpose(0, 2, 1, 3), recipe)
    assert wide.shape == (crops, 3, 60, 60, 3)
    for crop, left in enumerate(lefts):
        np.testing.assert_array_equal(wide[crop], RAMP[:, :, left : left + 60])
        np.testing.assert_array_equal(tall[crop], RAMP[:, :, left : left + 60].transpose(0, 2, 1, 3))


def test_eval_resizes_the_short_side_as_opencv_does():
    frames = np.random.default_rng(0).integers(0, 256, (2, 60, 80, 3), np.uint8)
    crops = eval_crops(frames, ClipRecipe(image_size=45, crops=3))
    expected = np.stack([cv2.resize(frame, (60, 45), interpolation=cv2.INTER_LINEAR) for frame in frames])
    np.testing.assert_array_equal(crops[1], expected[:, :, 7:52])


def test_strong_shrinking_does_not_alias():
    board = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)[None, :, :, None].repeat(3, -1)
    assert resize(board, (60, 60), "bilinear").std() < 10
