"""What families ask of a state and of config.json: sizes from shapes, class names, errors that say what is wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping

from vidjax.errors import WeightsError
from vidjax.weights.rules import State


def shape_of(state: State, key: str, ndim: int) -> tuple[int, ...]:
    """The shape of an array that must be there.

    Raises:
      WeightsError: when it is missing or has another number of axes.
    """
    if key not in state:
        raise WeightsError(f"the key {key} is missing")
    shape = tuple(state[key].shape)
    if len(shape) != ndim:
        raise WeightsError(f"{key} has shape {shape}; {ndim} axes were expected")
    return shape


def depth_of(keys: Collection[str], prefix: str) -> int:
    """Number of blocks: one more than the highest N among the keys `<prefix>N.`; 0 when there is none."""
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
    return max((int(match[1]) + 1 for key in keys if (match := pattern.match(key))), default=0)


def square_side(tokens: int, what: str) -> int:
    """The side of a square of so many tokens.

    Raises:
      WeightsError: when they make no square.
    """
    side = math.isqrt(tokens)
    if side * side != tokens:
        raise WeightsError(f"{what} holds {tokens} positions, which is not a square")
    return side


def labels_of(config: Mapping | None, num_classes: int) -> tuple[str, ...] | None:
    """The class names in `id2label` of a config.json, where it has real ones for all classes."""
    names = {int(number): str(name) for number, name in ((config or {}).get("id2label") or {}).items()}
    if not num_classes or sorted(names) != list(range(num_classes)):
        return None
    labels = tuple(names[number] for number in range(num_classes))
    return None if all(name == f"LABEL_{number}" for number, name in enumerate(labels)) else labels
