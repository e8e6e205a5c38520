"""RandAugment against timm's definitions, written here with Pillow and NumPy."""

import dataclasses
import functools
import itertools

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from vidjax.config import DataConfig
from vidjax.data.clips.augment import augment
from vidjax.data.clips.randaugment import OPERATIONS, Draw, draw_operations, parse_rand_augment, rand_augment
from vidjax.errors import ConfigError

PICTURE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8).repeat(2, 0).repeat(2, 1)
IMAGE = Image.fromarray(PICTURE)


SPEC = "rand-m7-n4-mstd0.5-inc1"
BICUBIC, BILINEAR = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR


def operate(name, strength, sign, resample=BICUBIC, image=IMAGE):
    """The whole image after one operation."""
    size = image.size[::-1]
    read, step = OPERATIONS[name].plan(Draw(name, strength, sign), (0, 0, *size), size)
    top, left, height, width = read
    return step(np.asarray(image)[None, top : top + height, left : left + width], resample)[0]


def moved(matrix, resample=BICUBIC):
    return IMAGE.transform(IMAGE.size, Image.Transform.AFFINE, matrix, resample, fillcolor=(128,) * 3)


def solarize_add(added):
    raised = np.minimum(PICTURE.astype(int) + added, 255)
    return np.where(PICTURE < 128, raised, PICTURE)


# On a scale to 1. With 0.7, positions such as 20.16 pixels coincide with steps of the grey values, so rounding decides.
STRENGTH = 0.6873
FACTOR = 1 + 0.9 * STRENGTH
EXPECTED = {  # symmetric operations with a positive sign
    "invert": lambda: 255 - PICTURE,
    "rotate": lambda: IMAGE.rotate(30 * STRENGTH, BICUBIC, fillcolor=(128,) * 3),
    "posterize": lambda: PICTURE & 0b11000000,  # 4 - int(2.7) = 2 bits
    "solarize": lambda: np.where(PICTURE < 256 - 175, PICTURE, 255 - PICTURE),
    "solarize_add": lambda: solarize_add(75),
    "color": lambda: ImageEnhance.Color(IMAGE).enhance(FACTOR),
    "contrast": lambda: ImageEnhance.Contrast(IMAGE).enhance(FACTOR),
    "brightness": lambda: ImageEnhance.Brightness(IMAGE).enhance(FACTOR),
    "sharpness": lambda: ImageEnhance.Sharpness(IMAGE).enhance(FACTOR),
    "shear_x": lambda: moved((1, 0.3 * STRENGTH, 0, 0, 1, 0)),
    "shear_y": lambda: moved((1, 0, 0, 0.3 * STRENGTH, 1, 0)),
    "translate_x": lambda: moved((1, 0, 0.45 * STRENGTH * 64, 0, 1, 0)),
    "translate_y": lambda: moved((1, 0, 0, 0, 1, 0.45 * STRENGTH * 48)),
}


def test_all_fifteen_operations_of_timm_exist():
    assert set(OPERATIONS) == {*EXPECTED, "auto_contrast", "equalize"}


@pytest.mark.parametrize("name", EXPECTED)
def test_an_operation_matches_timms_definition(name):
    np.testing.assert_array_equal(operate(name, STRENGTH, 1), np.asarray(EXPECTED[name]()))


def by_pillow(name, image, strength, sign):
    """One operation on one frame, with Pillow's functions for whole images."""
    factor, (width, height), filled = 1 + sign * 0.9 * strength, image.size, {"fillcolor": (128,) * 3}
    affine = functools.partial(image.transform, image.size, Image.Transform.AFFINE, resample=BICUBIC, **filled)
    return {
        "auto_contrast": lambda: ImageOps.autocontrast(image),
        "equalize": lambda: ImageOps.equalize(image),
        "invert": lambda: ImageOps.invert(image),
        "rotate": lambda: image.rotate(sign * 30 * strength, BICUBIC, **filled),
        "posterize": lambda: image.point([value & ~(255 >> (4 - int(4 * strength))) for value in range(256)] * 3),
        "solarize": lambda: ImageOps.solarize(image, 256 - int(256 * strength)),
        "solarize_add": lambda: image.point(
            [min(255, value + int(110 * strength)) if value < 128 else value for value in range(256)] * 3
        ),
        "color": lambda: ImageEnhance.Color(image).enhance(factor),
        "contrast": lambda: ImageEnhance.Contrast(image).enhance(factor),
        "brightness": lambda: ImageEnhance.Brightness(image).enhance(factor),
        "sharpness": lambda: ImageEnhance.Sharpness(image).enhance(factor),
        "shear_x": lambda: affine((1, sign * 0.3 * strength, 0, 0, 1, 0)),
        "shear_y": lambda: affine((1, 0, 0, sign * 0.3 * strength, 1, 0)),
        "translate_x": lambda: affine((1, 0, sign * 0.45 * strength * width, 0, 1, 0)),
        "translate_y": lambda: affine((1, 0, 0, 0, 1, sign * 0.45 * strength * height)),
    }[name]()


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("size", [(48, 64), (200, 35), (3, 100), (2, 1)])
def test_all_frames_at_once_equal_pillow_frame_by_frame(name, size):
    """Noise, a gradient, three values and one value."""
    rng, (height, width) = np.random.default_rng(0), size
    gradient = np.add.outer(np.arange(height), np.arange(width))[..., None] * [1, 2, 3] % 256
    few = rng.choice([0, 200, 255], (*size, 3))
    clip = np.stack([rng.integers(0, 256, (*size, 3)), gradient, few, np.full((*size, 3), 77)]).astype(np.uint8)
    for strength, sign in itertools.product((0.0, 0.2143, STRENGTH, 0.9477), (-1, 1)):
        found = rand_augment(clip, [Draw(name, strength, sign)], (0, 0, *size))
        expected = np.stack([by_pillow(name, Image.fromarray(frame), strength, sign) for frame in clip])
        np.testing.assert_array_equal(found, expected, f"{strength} {sign}")


def test_only_geometric_operations_interpolate():
    """VideoMAE's --train_interpolation reaches these operations and nothing else (rand_augment.py:61 and 139)."""
    for name in OPERATIONS:
        found = [operate(name, STRENGTH, 1, method) for method in (BICUBIC, BILINEAR)]
        assert np.array_equal(*found) == (name not in GEOMETRIC)
    sheared = operate("shear_x", STRENGTH, 1, BILINEAR)
    np.testing.assert_array_equal(sheared, np.asarray(moved((1, 0.3 * STRENGTH, 0, 0, 1, 0), BILINEAR)))


@pytest.mark.parametrize(("interpolation", "method"), [("bilinear", BILINEAR), ("bicubic", BICUBIC)])
def test_operations_interpolate_as_configured_whatever_the_crop_does(monkeypatch, interpolation, method):
    seen = []

    class Seeing:
        def plan(self, draw, box, size):
            return box, lambda frames, resample: seen.append(resample) or frames

    for name in OPERATIONS:
        monkeypatch.setitem(OPERATIONS, name, Seeing())
    data = DataConfig(image_size=24, interpolation="area", rand_augment="rand-m7-n4-inc1")
    data = dataclasses.replace(data, rand_augment_interpolation=interpolation)
    for seed in range(5):
        augment(PICTURE[None], data, np.random.default_rng(seed))
    assert set(seen) == {method}


def with_channels(*channels):
    """An image of 30 x 34 pixels from the values of its channels, each repeated equally often."""
    return np.stack([np.repeat(values, 1020 // len(values)).reshape(30, 34) for values in channels], -1).astype(
        np.uint8
    )


def test_auto_contrast_stretches_each_channel_from_its_least_to_its_greatest_value():
    """(v - least) * 255 / (greatest - least); a channel with one value is unchanged."""
    picture = with_channels([100, 110, 120, 151], [0, 128, 200, 255], [7])
    expected = with_channels([0, 50, 100, 255], [0, 128, 200, 255], [7])
    found = operate("auto_contrast", 0.7, 1, image=Image.fromarray(picture))
    np.testing.assert_array_equal(found, expected)


def test_equalize_spreads_the_ranks_of_each_channel_evenly():
    """A value becomes 255 times the share of pixels below it; the greatest becomes 255, a single value is unchanged."""
    picture = with_channels([10, 20, 30, 40], [5, 5, 6, 250], [7])
    expected = with_channels([0, 85, 170, 255], [0, 0, 170, 255], [7])
    found = operate("equalize", 0.7, 1, image=Image.fromarray(picture))
    np.testing.assert_array_equal(found, expected)


GEOMETRIC = {"rotate", "shear_x", "shear_y", "translate_x", "translate_y"}
SYMMETRIC = [
    "rotate",
    "color",
    "contrast",
    "brightness",
    "sharpness",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
]


@pytest.mark.parametrize("name", [*SYMMETRIC, "solarize", "solarize_add"])
@pytest.mark.parametrize("sign", [-1, 1])
def test_magnitude_zero_changes_nothing(name, sign):
    np.testing.assert_array_equal(operate(name, 0.0, sign), PICTURE)


@pytest.mark.parametrize("name", SYMMETRIC)
def test_symmetric_operations_go_both_ways(name):
    there, back = (operate(name, 0.5, sign) for sign in (1, -1))
    assert not np.array_equal(there, back)


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_work_at_the_strongest_magnitude(name):
    assert operate(name, 1.0, 1).shape == PICTURE.shape


def test_all_frames_get_the_same_operations():
    clip, data = np.stack([PICTURE] * 5), DataConfig(image_size=24, crop="center", rand_augment=SPEC)
    plain = augment(clip, dataclasses.replace(data, rand_augment=""), np.random.default_rng(0))
    changed = 0
    for seed in range(40):
        result = augment(clip, data, np.random.default_rng(seed))
        assert (result == result[:1]).all()
        changed += not np.array_equal(result, plain)
    assert changed > 30  # 1 - 0.5 ** 4 of them


def test_each_operation_is_drawn_and_applied_half_of_the_time():
    counts, rng = dict.fromkeys(OPERATIONS, 0), np.random.default_rng(0)
    for draw in (draw for _ in range(1500) for draw in draw_operations(SPEC, rng)):
        counts[draw.name] += 1
        assert 0.5 < draw.strength < 0.9  # magnitude 7 with a standard deviation of 0.5
    assert sum(counts.values()) == pytest.approx(3000, rel=0.06)
    assert min(counts.values()) > 140  # 200 expected


PLACES = [(0, 0, 48, 64), (0, 0, 9, 11), (13, 20, 21, 30), (40, 50, 8, 14), (0, 63, 48, 1)]


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("place", PLACES)
def test_a_partial_result_equals_that_part_of_the_whole_result(place, interpolation):
    """The bits are equal for every single operation, and for chains as they are drawn."""
    top, left, height, width = place
    clip = np.stack([PICTURE, PICTURE[::-1]])
    alone = [[Draw(name, STRENGTH, sign)] for name in OPERATIONS for sign in (-1, 1)]
    drawn = [draw_operations(SPEC, np.random.default_rng(seed)) for seed in range(40)]
    for draws in alone + drawn:
        whole = clip
        for draw in draws:
            pictures = [Image.fromarray(frame) for frame in whole]
            method = {"bicubic": BICUBIC, "bilinear": BILINEAR}[interpolation]
            whole = np.stack([operate(*draw, method, picture) for picture in pictures])
        part = rand_augment(clip, draws, place, interpolation)
        np.testing.assert_array_equal(part, whole[:, top : top + height, left : left + width], str(draws))


def test_the_specification_is_parsed():
    spec = parse_rand_augment("rand-m9-n3-mstd0.5-inc1")
    assert (spec.magnitude, spec.num_ops, spec.magnitude_std) == (9, 3, 0.5)


@pytest.mark.parametrize(
    "text", ["rand-m7-n4-inc0", "rand-m7-n4", "augmix-m3-inc1", "rand-mseven-inc1", "rand-m11-inc1"]
)
def test_an_invalid_specification_is_refused(text):
    with pytest.raises(ConfigError, match="rand_augment"):
        parse_rand_augment(text)
