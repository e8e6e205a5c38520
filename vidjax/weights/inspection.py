"""Helpers to inspect a checkpoint's arrays and config.json: sizes from shapes, class names, notes and errors."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping

from vidjax.errors import WeightsError
from vidjax.weights.rules import State

NO_BIASES = "its attention has no biases (qkv_bias=False); here they are zeros, which training would change"


def shape_of(state: State, key: str, ndim: int) -> tuple[int, ...]:
    """Return the shape of a required array.

    Raises:
      WeightsError: if it is missing or has another number of axes.
    """
    if key not in state:
        raise WeightsError(f"the key {key} is missing; the file is incomplete: download or save it again")
    shape = tuple(state[key].shape)
    if len(shape) != ndim:
        raise WeightsError(f"{key} has shape {shape}; {ndim} axes were expected, so this is another kind of model")
    return shape


def check_sizes(config: Mapping, sizes: Mapping[str, int | list[int]]) -> None:
    """Reject a config.json whose sizes differ from those of the arrays, as they do if a file lost its last blocks.

    Args:
      config: content of config.json, which may omit sizes, or give a pair for a square.
      sizes: sizes of the arrays, by key of config.json.

    Raises:
      WeightsError: if sizes differ; the message gives both.
    """
    for key, value in sizes.items():
        if config.get(key) not in (None, value, [value, value]):
            raise WeightsError(
                f"config.json says {key}={config[key]}, but the arrays have {value}; the file is incomplete or "
                "the config.json belongs to another model: download both again"
            )


def depth_note(config: Mapping, spec, presets: Mapping) -> tuple[str, ...]:
    """Return a note if config.json gives no depth, and the published models of this width have other depths."""
    published = sorted({of.depth for name, of in presets.items() if name != "tiny" and of.width == spec.width})
    if {"num_hidden_layers", "n_layer"} & config.keys() or not published or spec.depth in published:
        return ()
    depths = " or ".join(map(str, published))
    return (
        f"the file holds {spec.depth} blocks of width {spec.width}, but published models have {depths}: is the file "
        "complete?",
    )


def frames_note(config: Mapping, num_frames: int) -> tuple[str, ...]:
    """Return a note if config.json lacks the number of frames of a clip, which the arrays do not determine."""
    if "num_frames" in config:
        return ()
    return (
        f"the file does not say how many frames a clip has: {num_frames}, as published, are assumed; if that is wrong, "
        "put a config.json with num_frames beside it",
    )


def depth_of(keys: Collection[str], prefix: str) -> int:
    """Return the number of blocks: one more than the highest N among the keys `<prefix>N.`; 0 if there are none."""
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
    return max((int(match[1]) + 1 for key in keys if (match := pattern.match(key))), default=0)


def square_side(number: int, what: str, things: str = "positions") -> int:
    """Return the side of a square of `number` positions, or of other `things`, that the array `what` holds.

    Raises:
      WeightsError: if the number is not a square.
    """
    side = math.isqrt(max(number, 0))
    if side * side != number:
        raise WeightsError(f"{what} holds {number} {things}, which is not a square")
    return side


def labels_of(config: Mapping | None, num_classes: int) -> tuple[str, ...] | None:
    """Return the class names in `id2label` of a config.json; None if any is missing or all are `LABEL_0` and so on.

    Raises:
      WeightsError: if `id2label` does not map numbers to names.
    """
    listed = (config or {}).get("id2label") or {}
    if not num_classes:
        return None
    if not isinstance(listed, Mapping) or not all(str(number).isdecimal() for number in listed):
        raise WeightsError(
            f"config.json has id2label={listed!s:.60}, which does not map class numbers to names, as in "
            '{"0": "jump", "1": "run"}'
        )
    names = {int(number): str(name) for number, name in listed.items()}
    if sorted(names) != list(range(num_classes)):
        return None
    labels = tuple(names[number] for number in range(num_classes))
    return None if all(name == f"LABEL_{number}" for number, name in enumerate(labels)) else labels
