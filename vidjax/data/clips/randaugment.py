"""RandAugment (Cubuk et al. 2019) in the timm variant that video fine-tuning uses, with one draw per clip.

This version computes only the pixels that the following crop or a later operation reads.

A specification such as `rand-m7-n4-mstd0.5-inc1` means magnitude 7 of 10, four operations, magnitudes with a standard
deviation of 0.5, and operations that grow stronger with the magnitude. Each chosen operation is applied with
probability one half. Specifications that begin with `scenic` belong to `vidjax.data.clips.scenic_augment`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vidjax.data.clips import enhance
from vidjax.data.clips.affine import affine
from vidjax.data.clips.enhance import VALUES
from vidjax.errors import ConfigError

MAX_MAGNITUDE = 10.0
SCENIC_MAX_MAGNITUDE = 20.0  # beyond it, posterize would keep more than eight bits
APPLY = 0.5  # probability that a chosen operation is applied
GREY = (128, 128, 128)  # the colour of points outside the image


@dataclass(frozen=True)
class RandAugmentSpec:
    """A parsed specification.

    Attributes:
      variant: rand or scenic.
      num_ops: number of operations drawn per clip.
      magnitude_std: standard deviation of the magnitude.
    """

    variant: str = "rand"
    magnitude: float = 10.0
    num_ops: int = 2
    magnitude_std: float = 0.0


@functools.cache
def parse_rand_augment(text: str) -> RandAugmentSpec:
    """Parse `rand-m7-n4-mstd0.5-inc1` or `scenic-m20-n2`.

    Raises:
      ConfigError: for anything else, including operations that do not grow with the magnitude (`inc0`).
    """
    variant, *parts = text.split("-")
    values = {}
    for part in parts:
        name = part.rstrip("0123456789.")
        try:
            values[name] = float(part[len(name) :])
        except ValueError:
            raise ConfigError(f"data.rand_augment={text!r}: {part!r} has no number; use e.g. {_EXAMPLE}") from None
    growing = values.pop("inc", 0) == 1
    known, highest = {"m", "n"}, SCENIC_MAX_MAGNITUDE
    if variant == "rand":
        known, highest = known | {"mstd"}, MAX_MAGNITUDE
    if variant not in ("rand", "scenic") or set(values) - known or growing != (variant == "rand"):
        raise ConfigError(
            f"data.rand_augment={text!r} is not valid; use e.g. {_EXAMPLE} (inc1 is required) or scenic-m20-n2"
        )
    magnitude, num_ops, std = values.get("m", 10.0), values.get("n", 2), values.get("mstd", 0.0)
    if magnitude > highest or num_ops != int(num_ops):
        raise ConfigError(f"data.rand_augment={text!r}: m must be at most {highest:g}, and n an integer")
    return RandAugmentSpec(variant, magnitude, int(num_ops), std)


class Draw(NamedTuple):
    """One of `OPERATIONS` to apply, its strength (0 to 1), and its direction (-1 or 1) if it has two."""

    name: str
    strength: float
    sign: int


def draw_operations(spec: str, rng: np.random.Generator) -> list[Draw]:
    """Draw the operations of one clip, in order, and leave out the operations that are drawn but not applied.

    Args:
      spec: as for `parse_rand_augment`.
    """
    parsed, names = parse_rand_augment(spec), tuple(OPERATIONS)
    chosen = []
    for place in rng.integers(len(names), size=parsed.num_ops):
        applied, level = rng.random() < APPLY, parsed.magnitude
        if parsed.magnitude_std:
            level = rng.normal(level, parsed.magnitude_std)
        sign = -1 if rng.random() < 0.5 else 1
        if applied:
            chosen.append(Draw(names[place], min(max(level, 0.0), MAX_MAGNITUDE) / MAX_MAGNITUDE, sign))
    return chosen


def rand_augment(
    frames: UInt8[np.ndarray, "t h w 3"], draws: Sequence[Draw], box: Box, interpolation: str = "bicubic"
) -> UInt8[np.ndarray, "t h2 w2 3"]:
    """Apply the operations and return the part `box` of every frame.

    Auto-contrast, contrast and equalise take the statistics of each whole frame. The result equals the same part of the
    fully augmented frames bit for bit, except where a point lies exactly between two pixels or a value between two grey
    levels. There rounding decides, which matters most for nearest interpolation.

    Args:
      draws: from `draw_operations`.
      box: the part, as (top, left, height, width).
      interpolation: for rotations, shears and translations, one of `INTERPOLATIONS`.
    """
    steps, size, resample = [], frames.shape[1:3], INTERPOLATIONS[interpolation]
    for draw in reversed(draws):
        box, step = OPERATIONS[draw.name].plan(draw, box, size)
        steps.insert(0, step)
    frames = _cut(frames, box)
    for step in steps:
        frames = step(frames, resample)
    return frames


_EXAMPLE = "rand-m7-n4-mstd0.5-inc1"
# The choices of data.rand_augment_interpolation.
INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
Box = tuple[int, int, int, int]  # top, left, height, width
Frames = UInt8[np.ndarray, "t h w 3"]
Step = Callable[[Frames, Image.Resampling], Frames]  # from the part that an operation reads to the part it makes


@dataclass(frozen=True)
class Values:
    """An operation on each value, independent of its neighbours.

    Attributes:
      tables: (frames, strength, sign) -> the tables for `enhance.look_up`.
      whole: whether tables depend on the whole image.
    """

    tables: Callable[[Frames, float, int], enhance.Tables]
    whole: bool = False

    def plan(self, draw: Draw, box: Box, size: tuple[int, int]) -> tuple[Box, Step]:
        """Return the part to read from an image of `size`, and the step that makes part `box` of the result from it."""
        read = (0, 0, *size) if self.whole else box

        def step(frames: Frames, resample: Image.Resampling) -> Frames:
            tables = self.tables(frames, draw.strength, draw.sign)
            return enhance.look_up(_cut(frames, _within(box, read)), tables)

        return read, step


@dataclass(frozen=True)
class Pixels:
    """An operation on each pixel and its neighbours.

    Attributes:
      change: (frames, strength, sign) -> frames.
      reach: largest distance, in pixels, of a neighbour that matters.
    """

    change: Callable[[Frames, float, int], Frames]
    reach: int = 0

    def plan(self, draw: Draw, box: Box, size: tuple[int, int]) -> tuple[Box, Step]:
        """Return the part to read from an image of `size`, and the step that makes part `box` of the result from it."""
        (top, left, height, width), reach = box, self.reach
        read = _clipped((top - reach, left - reach, top + height + reach, left + width + reach), size)

        def step(frames: Frames, resample: Image.Resampling) -> Frames:
            return _cut(self.change(frames, draw.strength, draw.sign), _within(box, read))

        return read, step


@dataclass(frozen=True)
class Moves:
    """An operation that moves pixels.

    Attributes:
      matrix: (strength, sign, width, height) -> (a, b, c, d, e, f); the result at (x, y) is the image at
        (a x + b y + c, d x + e y + f).
    """

    matrix: Callable[[float, int, int, int], tuple[float, ...]]

    def plan(self, draw: Draw, box: Box, size: tuple[int, int]) -> tuple[Box, Step]:
        """Return the part to read from an image of `size`, and the step that makes part `box` of the result from it."""
        top, left, height, width = box
        a, b, c, d, e, f = self.matrix(draw.strength, draw.sign, *size[::-1])
        corners = [(x, y) for x in (left, left + width) for y in (top, top + height)]
        xs, ys = [a * x + b * y + c for x, y in corners], [d * x + e * y + f for x, y in corners]
        ends = min(ys) - _TAPS, min(xs) - _TAPS, max(ys) + _TAPS, max(xs) + _TAPS
        read = _clipped(tuple(math.floor(end) for end in ends), size)
        moved = a, b, c + a * left + b * top - read[1], d, e, f + d * left + e * top - read[0]

        def step(frames: Frames, resample: Image.Resampling) -> Frames:
            return affine(frames, (height, width), moved, resample, GREY)

        return read, step


_TAPS = 3  # pixels to each side of a point that interpolation may read, plus one for rounding


def _clipped(ends: tuple[int, ...], size: tuple[int, int]) -> Box:
    """The part of an image between (top, left, bottom, right); at least one pixel."""
    start = [min(max(end, 0), side - 1) for end, side in zip(ends[:2], size, strict=True)]
    stop = [min(max(end, at + 1), side) for end, at, side in zip(ends[2:], start, size, strict=True)]
    return start[0], start[1], stop[0] - start[0], stop[1] - start[1]


def _within(box: Box, read: Box) -> Box:
    """The position of one part of an image within a larger one."""
    return box[0] - read[0], box[1] - read[1], *box[2:]


def _cut(frames: Frames, box: Box) -> Frames:
    """Crop every frame to a part."""
    top, left, height, width = box
    return np.ascontiguousarray(frames[:, top : top + height, left : left + width])


def _rotation(strength: float, sign: int, width: int, height: int) -> tuple[float, ...]:
    """Rotate by up to 30 degrees about the centre: counter-clockwise for `sign` 1, clockwise for -1.

    Sine and cosine are rounded as in Pillow.
    """
    angle = math.radians(-sign * 30 * strength)
    cosine, sine = round(math.cos(angle), 15), round(math.sin(angle), 15)
    x, y = width / 2, height / 2
    return cosine, sine, x - cosine * x - sine * y, -sine, cosine, y + sine * x - cosine * y


def _invert(strength):
    return 255 - VALUES


def _posterize(strength):
    return VALUES & ~(0xFF >> (4 - int(4 * strength)))  # keeps 4 to 0 bits


def _solarize(strength):
    return np.where(256 - int(256 * strength) > VALUES, VALUES, 255 - VALUES)


def _solarize_add(strength):
    return np.where(VALUES < 128, np.minimum(VALUES + int(110 * strength), 255), VALUES)


def _fixed(values: Callable[[float], np.ndarray]) -> Values:
    """An operation with one table per strength, independent of the frames."""
    return Values(lambda frames, strength, sign: values(strength)[None, :, None])


def _factor(strength: float, sign: int) -> float:
    return 1 + sign * 0.9 * strength


OPERATIONS: dict[str, Values | Pixels | Moves] = {
    "auto_contrast": Values(lambda frames, strength, sign: enhance.auto_contrast(frames), whole=True),
    "equalize": Values(lambda frames, strength, sign: enhance.equalize(frames), whole=True),
    "invert": _fixed(_invert),
    "rotate": Moves(_rotation),
    "posterize": _fixed(_posterize),
    "solarize": _fixed(_solarize),
    "solarize_add": _fixed(_solarize_add),
    "color": Pixels(lambda frames, strength, sign: enhance.color(frames, _factor(strength, sign))),
    "contrast": Values(lambda frames, strength, sign: enhance.contrast(frames, _factor(strength, sign)), whole=True),
    "brightness": Values(lambda frames, strength, sign: enhance.brightness(_factor(strength, sign))),
    "sharpness": Pixels(lambda frames, strength, sign: enhance.sharpness(frames, _factor(strength, sign)), reach=1),
    "shear_x": Moves(lambda strength, sign, width, height: (1, sign * 0.3 * strength, 0, 0, 1, 0)),
    "shear_y": Moves(lambda strength, sign, width, height: (1, 0, 0, sign * 0.3 * strength, 1, 0)),
    "translate_x": Moves(lambda strength, sign, width, height: (1, 0, sign * 0.45 * strength * width, 0, 1, 0)),
    "translate_y": Moves(lambda strength, sign, width, height: (1, 0, 0, 0, 1, sign * 0.45 * strength * height)),
}
