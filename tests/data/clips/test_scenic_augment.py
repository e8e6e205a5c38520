"""scenic's RandAugment: every operation equals the official function bit for bit, run once in TensorFlow.

The checksums are those of `official/vision/image_classification/augment.py` of tf-models-official 2.5.0, mapped over a
`tf.data.Dataset` in TensorFlow 2.12.1 with NumPy 1.23.5, for the clip below; scenic imports these functions
(`dataset_lib/video_ops.py:36`). Expectations for single operations are written out here.
"""

import zlib

import numpy as np
import pytest

from vidjax.config import DataConfig
from vidjax.data.clips import scenic_augment
from vidjax.data.clips.augment import augment
from vidjax.data.clips.randaugment import parse_rand_augment
from vidjax.data.clips.scenic_augment import OPERATIONS, cutout, scenic_rand_augment
from vidjax.errors import ConfigError

T, H, W, C = np.meshgrid(np.arange(3), np.arange(20), np.arange(26), np.arange(3), indexing="ij")
CLIP = ((T * 37 + H * H * 3 + W * 5 + C * 29 + H * W) % 211 + 10).astype(np.uint8)
STACK = CLIP.reshape(60, 26, 3)
# CRC-32 of the bytes that the official functions return, at magnitudes 20, 10 and 5.
OFFICIAL = {
    "auto_contrast": (653787485, 653787485, 653787485),
    "equalize": (4234634339, 4234634339, 4234634339),
    "invert": (1521217102, 1521217102, 1521217102),
    "posterize": (2725780262, 3996497424, 4008699785),
    "solarize": (1521217102, 1521217102, 2247447956),
    "color": (169105252, 431332101, 2725780262),
    "contrast": (3777439313, 2739356473, 2725780262),
    "brightness": (3725118364, 370612960, 2725780262),
    "sharpness": (1459977380, 4012540176, 2725780262),
    "solarize_add": (1339871492, 793751466, 2775801247),
}


def test_there_are_ten_operations_besides_cutout_and_none_is_geometric():
    """video_ops.py:799-812: Rotate, the shears and the translations are commented out there."""
    assert set(OPERATIONS) == set(OFFICIAL)


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("name", OFFICIAL)
def test_an_operation_gives_the_bytes_of_the_official_function(name, place):
    found = OPERATIONS[name](STACK, (2.0, 1.0, 0.5)[place])
    assert found.dtype == np.uint8
    assert zlib.crc32(found.tobytes()) == OFFICIAL[name][place]


def test_what_the_operations_do_at_the_published_magnitude_of_20():
    np.testing.assert_array_equal(OPERATIONS["posterize"](STACK, 2.0), STACK)  # 8 of 8 bits
    np.testing.assert_array_equal(OPERATIONS["solarize"](STACK, 2.0), 255 - STACK)  # the threshold 512 wraps to 0
    brighter = np.minimum(STACK * 3.7, 255).astype(int)
    assert np.abs(OPERATIONS["brightness"](STACK, 2.0) - brighter).max() <= 1
    added = np.where(STACK < 128, np.minimum(STACK.astype(int) + 220, 255), STACK)
    np.testing.assert_array_equal(OPERATIONS["solarize_add"](STACK, 2.0), added)
    frames = np.full((16 * 224, 224, 3), 200, np.uint8)  # more pixels than 255 * 256: contrast's grey is white
    assert OPERATIONS["contrast"](frames, 2.0).max() == int(255 + 3.7 * (200 - 255))


def test_statistics_are_those_of_the_whole_clip():
    """scenic reshapes (t, h, w, c) to (t * h, w, c): a dark frame stays darker than a bright one."""
    clip = np.stack([np.full((4, 4, 3), 50, np.uint8), np.full((4, 4, 3), 150, np.uint8)])
    stack = OPERATIONS["auto_contrast"](clip.reshape(8, 4, 3), 1.0).reshape(clip.shape)
    assert (stack[0] == 0).all()
    assert (stack[1] == 255).all()


class Places:
    """A generator with given integers."""

    def __init__(self, *places):
        self.places = list(places)

    def integers(self, high, size=None):
        if size is not None:
            return [self.integers(high) for _ in range(size)]
        place = self.places.pop(0)
        assert 0 <= place < high
        return place


@pytest.mark.parametrize("center", [(10, 13), (0, 0), (19, 25), (3, 20)])
@pytest.mark.parametrize("pad", [4, 80])
def test_cutout_blackens_the_same_square_in_all_frames(center, pad):
    """video_ops.py:656-712, at magnitude m with int(m / 10 * 40) pixels to each side; `replace` is 0."""
    height, width = CLIP.shape[1:3]
    lower, upper = max(0, center[0] - pad), max(0, height - center[0] - pad)
    left, right = max(0, center[1] - pad), max(0, width - center[1] - pad)
    hole = np.zeros((height - lower - upper, width - left - right), int)
    mask = np.pad(hole, [(lower, upper), (left, right)], constant_values=1)
    np.testing.assert_array_equal(cutout(CLIP, pad, Places(*center)), CLIP * mask[None, :, :, None])


def test_twelve_choices_are_equally_likely_and_one_is_the_identity(monkeypatch):
    """video_ops.py:825: `op_to_select` is below len(available_ops) + 1, and the last one is the identity."""
    counts = dict.fromkeys([*OPERATIONS, "cutout"], 0)

    def counting(name):
        def count(pixels, *_):
            counts[name] += 1
            return pixels

        return count

    for name in OPERATIONS:
        monkeypatch.setitem(OPERATIONS, name, counting(name))
    monkeypatch.setattr(scenic_augment, "cutout", counting("cutout"))
    rng = np.random.default_rng(0)
    for _ in range(3000):
        scenic_rand_augment(CLIP, "scenic-m20-n2", rng)
    assert sum(counts.values()) == pytest.approx(6000 * 11 / 12, rel=0.02)
    assert min(counts.values()) > 430  # 500 expected
    assert max(counts.values()) < 570


def test_it_comes_after_the_crop_and_the_flip(monkeypatch):
    """video_ops.py:563-573 adds it before `normalize`, which follows `random_crop` and `random_flip`."""
    seen = []

    def spy(clip, spec, rng):
        seen.append(clip.copy())
        return 255 - clip

    monkeypatch.setattr("vidjax.data.clips.augment.scenic_rand_augment", spy)
    data = DataConfig(image_size=12, crop="center", flip=1.0, rand_augment="scenic-m20-n2")
    plain = augment(CLIP, DataConfig(image_size=12, crop="center", flip=1.0), np.random.default_rng(0))
    found = augment(CLIP, data, np.random.default_rng(0))
    np.testing.assert_array_equal(seen[0], plain)
    np.testing.assert_array_equal(found, 255 - plain)


def test_every_frame_gets_the_same_draw():
    still, changed = CLIP[:1].repeat(4, 0), 0
    data = DataConfig(image_size=16, rand_augment="scenic-m20-n2")
    sharp = DataConfig(image_size=16)
    for seed in range(40):
        found = augment(still, data, np.random.default_rng(seed))[1:3]  # sharpness reads across the ends of frames
        assert found.shape == (2, 16, 16, 3)
        assert (found == found[:1]).all()
        changed += not np.array_equal(found, augment(still, sharp, np.random.default_rng(seed))[1:3])
    assert changed > 30


def test_the_specification_is_parsed():
    spec = parse_rand_augment("scenic-m20-n2")
    assert (spec.variant, spec.magnitude, spec.num_ops, spec.magnitude_std) == ("scenic", 20, 2, 0)


@pytest.mark.parametrize("text", ["scenic-m21-n2", "scenic-m20-n2-inc1", "scenic-m20-n2-mstd0.5", "scenic-m20-n1.5"])
def test_an_invalid_specification_is_refused(text):
    with pytest.raises(ConfigError, match="rand_augment"):
        parse_rand_augment(text)
