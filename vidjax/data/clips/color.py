"""Colour augmentation of whole clips, uint8 to uint8: every frame of a clip gets the same draw.

Brightness, contrast and saturation follow Pillow's `ImageEnhance`; hue is a rotation in HSV.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import UInt8

from vidjax.config import DataConfig
from vidjax.errors import ConfigError


def color_augment(clip: UInt8[np.ndarray, "t h w 3"], data: DataConfig, rng: np.random.Generator) -> None:
    """Jitter the colours of a clip in place with probability data.color_jitter_prob, then perhaps make it grey.

    data.color_jitter is (brightness, contrast, saturation, hue), applied in random order. The first three multiply by a
    factor drawn from [max(0, 1 - amount), 1 + amount]; hue is rotated by a fraction of the circle drawn from
    [-amount, amount]. Then the clip becomes grey with probability data.grayscale. An amount of zero draws no random
    number. Source: Howard 2013 (arXiv:1312.5402) with the ranges of torchvision's ColorJitter.
    """
    if any(data.color_jitter) and rng.random() < data.color_jitter_prob:
        for place in rng.permutation(len(OPERATIONS)):
            amount, operation = data.color_jitter[place], OPERATIONS[place]
            if not amount:
                continue
            value = rng.uniform(-amount, amount) if operation is hue else rng.uniform(max(0.0, 1 - amount), 1 + amount)
            for frame in clip:
                operation(frame, value)
    if data.grayscale and rng.random() < data.grayscale:
        for frame in clip:
            saturation(frame, 0.0)


def check_color_jitter(amounts: tuple[float, ...]) -> None:
    """Reject amounts unless there are four, none is negative, and hue rotates by at most half the circle.

    Raises:
      ConfigError: with the allowed values.
    """
    if len(amounts) != len(OPERATIONS) or min(amounts) < 0 or amounts[-1] > 0.5:
        raise ConfigError(
            f"data.color_jitter={amounts} must be (brightness, contrast, saturation, hue), "
            "none below 0 and hue at most 0.5"
        )


def brightness(frame: UInt8[np.ndarray, "h w 3"], factor: float) -> None:
    """Blend with black, in place; a factor of 1 changes nothing."""
    _map(frame, lambda values: values * factor)


def contrast(frame: UInt8[np.ndarray, "h w 3"], factor: float) -> None:
    """Blend with the mean of the frame's luma, in place."""
    mean = round(float(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).mean()))
    _map(frame, lambda values: mean + (values - mean) * factor)


def saturation(frame: UInt8[np.ndarray, "h w 3"], factor: float) -> None:
    """Blend each pixel with its luma, in place; a factor of 0 gives grey."""
    grey = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    cv2.addWeighted(frame, factor, grey, 1 - factor, 0.0, dst=frame)


def hue(frame: UInt8[np.ndarray, "h w 3"], turn: float) -> None:
    """Rotate the hue by a fraction of the circle, in place; 0.5 gives the complement."""
    hsv = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(round(turn * 256) % 256)  # uint8 wraps around, as hue does
    cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL, dst=frame)


def _map(frame: UInt8[np.ndarray, "h w 3"], function: Callable[[np.ndarray], np.ndarray]) -> None:
    table = np.clip(np.rint(function(np.arange(256, dtype=np.float32))), 0, 255).astype(np.uint8)
    cv2.LUT(frame, table, dst=frame)


OPERATIONS = (brightness, contrast, saturation, hue)  # in the order of data.color_jitter
