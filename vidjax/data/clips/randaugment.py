"""RandAugment (Cubuk et al. 2019) in the timm variant that video fine-tuning uses, one draw for all frames of a clip.

A specification such as `rand-m7-n4-mstd0.5-inc1` says magnitude 7 of 10, four operations, magnitudes spread by 0.5,
and operations that grow stronger with the magnitude. Each chosen operation is applied with probability one half.
Specifications that begin with `scenic` are of `vidjax.data.clips.scenic_augment`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageEnhance, ImageOps

from vidjax.errors import ConfigError

MAX_MAGNITUDE = 10.0
SCENIC_MAX_MAGNITUDE = 20.0  # beyond it posterize would keep more bits than there are
APPLY = 0.5  # probability that a chosen operation is applied
GREY = (128, 128, 128)  # outside the picture


@dataclass(frozen=True)
class RandAugmentSpec:
    """variant: rand or scenic; num_ops: how many draws; magnitude_std: of the normal spread around magnitude."""

    variant: str = "rand"
    magnitude: float = 10.0
    num_ops: int = 2
    magnitude_std: float = 0.0


@functools.cache
def parse_rand_augment(text: str) -> RandAugmentSpec:
    """Read `rand-m7-n4-mstd0.5-inc1` or `scenic-m20-n2`.

    Raises:
      ConfigError: for anything else, and for operations that do not grow (`inc0`).
    """
    variant, *parts = text.split("-")
    values = {}
    for part in parts:
        name = part.rstrip("0123456789.")
        try:
            values[name] = float(part[len(name) :])
        except ValueError:
            raise ConfigError(f"data.rand_augment={text!r}: {part!r} has no number; write e.g. {_EXAMPLE}") from None
    growing = values.pop("inc", 0) == 1
    known, highest = {"m", "n"}, SCENIC_MAX_MAGNITUDE
    if variant == "rand":
        known, highest = known | {"mstd"}, MAX_MAGNITUDE
    if variant not in ("rand", "scenic") or set(values) - known or growing != (variant == "rand"):
        raise ConfigError(
            f"data.rand_augment={text!r} is not understood; write e.g. {_EXAMPLE} (inc1 is needed) or scenic-m20-n2"
        )
    magnitude, num_ops, std = values.get("m", 10.0), values.get("n", 2), values.get("mstd", 0.0)
    if magnitude > highest or num_ops != int(num_ops):
        raise ConfigError(f"data.rand_augment={text!r} needs m at most {highest:g} and a whole n")
    return RandAugmentSpec(variant, magnitude, int(num_ops), std)


def rand_augment(
    frames: UInt8[np.ndarray, "t h w 3"], spec: str, rng: np.random.Generator, interpolation: str = "bicubic"
) -> UInt8[np.ndarray, "t h w 3"]:
    """Apply one random sequence of operations to every frame.

    Statistics that an operation takes from the picture (auto-contrast, equalise) are those of each frame.

    Args:
      spec: as `parse_rand_augment` takes it.
      interpolation: of rotations, shears and translations, one of `INTERPOLATIONS`.
    """
    parsed = parse_rand_augment(spec)
    chosen = []
    for place in rng.integers(len(OPERATIONS), size=parsed.num_ops):
        applied, level = rng.random() < APPLY, parsed.magnitude
        if parsed.magnitude_std:
            level = rng.normal(level, parsed.magnitude_std)
        sign = -1 if rng.random() < 0.5 else 1
        if applied:
            chosen.append((list(OPERATIONS.values())[place], min(max(level, 0.0), MAX_MAGNITUDE) / MAX_MAGNITUDE, sign))
    if not chosen:
        return frames
    images = [Image.fromarray(frame) for frame in frames]
    for operation, strength, sign in chosen:
        images = [operation(image, strength, sign, INTERPOLATIONS[interpolation]) for image in images]
    return np.stack([np.asarray(image) for image in images])


_EXAMPLE = "rand-m7-n4-mstd0.5-inc1"
# The choices of data.rand_augment_interpolation.
INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
# A picture, strength 0 to 1, sign of symmetric operations, interpolation of geometric ones.
Operation = Callable[[Image.Image, float, int, Image.Resampling], Image.Image]


def _affine(image: Image.Image, matrix: tuple[float, ...], resample: Image.Resampling) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, resample, fillcolor=GREY)


def _rotate(image, strength, sign, resample):
    return image.rotate(sign * 30 * strength, resample, fillcolor=GREY)


def _shear_x(image, strength, sign, resample):
    return _affine(image, (1, sign * 0.3 * strength, 0, 0, 1, 0), resample)


def _shear_y(image, strength, sign, resample):
    return _affine(image, (1, 0, 0, sign * 0.3 * strength, 1, 0), resample)


def _translate_x(image, strength, sign, resample):
    return _affine(image, (1, 0, sign * 0.45 * strength * image.size[0], 0, 1, 0), resample)


def _translate_y(image, strength, sign, resample):
    return _affine(image, (1, 0, 0, 0, 1, sign * 0.45 * strength * image.size[1]), resample)


def _posterize(image, strength, sign, resample):
    keep = 0xFF ^ (0xFF >> (4 - int(4 * strength)))  # ImageOps.posterize refuses to keep 0 bits
    return image.point([value & keep for value in range(256)] * 3)


def _solarize(image, strength, sign, resample):
    return ImageOps.solarize(image, 256 - int(256 * strength))


def _solarize_add(image, strength, sign, resample):
    added = int(110 * strength)
    table = [min(255, value + added) if value < 128 else value for value in range(256)]
    return image.point(table * 3)


def _enhance(kind: type) -> Operation:
    return lambda image, strength, sign, resample: kind(image).enhance(1 + sign * 0.9 * strength)


OPERATIONS: dict[str, Operation] = {
    "auto_contrast": lambda image, strength, sign, resample: ImageOps.autocontrast(image),
    "equalize": lambda image, strength, sign, resample: ImageOps.equalize(image),
    "invert": lambda image, strength, sign, resample: ImageOps.invert(image),
    "rotate": _rotate,
    "posterize": _posterize,
    "solarize": _solarize,
    "solarize_add": _solarize_add,
    "color": _enhance(ImageEnhance.Color),
    "contrast": _enhance(ImageEnhance.Contrast),
    "brightness": _enhance(ImageEnhance.Brightness),
    "sharpness": _enhance(ImageEnhance.Sharpness),
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
}
