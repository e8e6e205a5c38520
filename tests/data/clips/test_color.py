"""Colour augmentation: Pillow's operations, one draw for all frames, and no random numbers without options."""

import colorsys

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from vidjax.config import DataConfig
from vidjax.data.clips import color
from vidjax.data.clips.augment import augment
from vidjax.data.clips.row_to_clips import LoadTrain
from vidjax.errors import ConfigError

JITTER = (0.4, 0.4, 0.2, 0.1)


def picture(seed=0, shape=(30, 40, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.4])
@pytest.mark.parametrize(
    ("ours", "pillows"),
    [
        (color.brightness, ImageEnhance.Brightness),
        (color.contrast, ImageEnhance.Contrast),
        (color.saturation, ImageEnhance.Color),
    ],
)
def test_each_operation_equals_pillows_up_to_rounding(ours, pillows, factor):
    frame = picture()
    expected = np.asarray(pillows(Image.fromarray(frame)).enhance(factor))
    ours(frame, factor)
    assert np.abs(frame.astype(int) - expected).max() <= 2
    assert np.abs(frame.astype(int) - expected).mean() < 0.75


@pytest.mark.parametrize("turn", [-0.2, 1 / 3, 0.5])
def test_hue_rotates_as_in_the_standard_library(turn):
    frame = picture(shape=(8, 8, 3))
    expected = frame / 255.0
    for place in np.ndindex(frame.shape[:2]):
        h, s, v = colorsys.rgb_to_hsv(*expected[place])
        expected[place] = colorsys.hsv_to_rgb((h + turn) % 1.0, s, v)
    color.hue(frame, turn)
    difference = np.abs(frame - 255 * expected)
    assert difference.max() <= 8  # one of 256 hues is up to 6 grey levels, and saturation is rounded to 8 bits
    assert difference.mean() < 1.5


@pytest.mark.parametrize("operation", [color.brightness, color.contrast, color.saturation])
def test_a_factor_of_one_changes_nothing(operation):
    frame = picture()
    operation(frame, 1.0)
    np.testing.assert_array_equal(frame, picture())


def test_every_frame_gets_the_same_draw_and_stays_uint8():
    still = picture(shape=(1, 32, 32, 3)).repeat(4, 0)
    data = DataConfig(image_size=32, crop="center", color_jitter=JITTER, color_jitter_prob=0.8, grayscale=0.2)
    seen = set()
    for seed in range(40):
        clip = augment(still, data, np.random.default_rng(seed))
        assert clip.dtype == np.uint8
        assert (clip == clip[:1]).all()
        seen.add(clip.tobytes())
    assert 20 < len(seen) < 40  # a fifth of 40 are unchanged


def test_the_share_of_clips_that_change_is_the_probability():
    frames = picture(shape=(1, 8, 8, 3))
    jitter = DataConfig(image_size=8, crop="center", color_jitter=JITTER, color_jitter_prob=0.8)
    grey = DataConfig(image_size=8, crop="center", grayscale=0.1)
    rng = np.random.default_rng(0)
    changed = [not np.array_equal(augment(frames, jitter, rng), frames) for _ in range(500)]
    assert np.mean(changed) == pytest.approx(0.8, abs=0.06)
    clips = [augment(frames, grey, rng) for _ in range(500)]
    dropped = [(clip == clip[..., :1]).all() for clip in clips]
    assert np.mean(dropped) == pytest.approx(0.1, abs=0.04)


@pytest.mark.parametrize(
    ("amounts", "low", "high"), [((0.4, 0, 0, 0), 0.6, 1.4), ((0, 0.3, 0, 0), 0.7, 1.3), ((0, 0, 1.5, 0), 0, 2.5)]
)
def test_factors_come_from_the_range_that_the_amount_sets(amounts, low, high, monkeypatch):
    seen = []
    spies = tuple((lambda frame, value: seen.append(value)) if amount else None for amount in amounts)
    monkeypatch.setattr(color, "OPERATIONS", spies)
    rng = np.random.default_rng(0)
    for _ in range(500):
        color.color_augment(picture(shape=(1, 2, 2, 3)), DataConfig(color_jitter=amounts), rng)
    assert low <= min(seen) < low + 0.05
    assert high - 0.05 < max(seen) <= high


def test_without_colour_options_no_random_number_is_used():
    rng = np.random.default_rng(0)
    color.color_augment(picture(shape=(2, 4, 4, 3)), DataConfig(), rng)
    assert rng.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize("amounts", [(0.4, 0.4, 0.2), (-0.1, 0, 0, 0), (0, 0, 0, 0.6)])
def test_invalid_amounts_are_refused_before_training_starts(amounts):
    with pytest.raises(ConfigError, match="brightness, contrast, saturation, hue"):
        LoadTrain(None, DataConfig(color_jitter=amounts))
