"""Reduce a head to fewer classes: a label map gives the old class of each new class.

VideoMAE V2 does this from Kinetics-710 to Kinetics-400, -600 and -700 (run_class_finetuning.py:566). Its repository has
the maps, JSON lists such as misc/label_710to400.json. Their class numbers are those of the repository's lists of
videos. For Kinetics-400, the numbers are in alphabetical order, as for `data.name=kinetics400`. For Kinetics-600 and
-700 they are in no particular order, so these data sets need the repository's lists.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from vidjax.errors import ConfigError

KERNEL, BIAS = "head/kernel", "head/bias"


def pick_classes(found: Mapping[str, Any], label_map: str | os.PathLike, classes: int) -> dict[str, Any]:
    """Reduce a model's head to the classes in a label map.

    Args:
      found: leaves by path, among them head/kernel (d, old classes) and head/bias (old classes).
      label_map: path of a JSON list with the old class of each new class.
      classes: number of classes of the new head.

    Returns:
      the leaves with the new head.

    Raises:
      ConfigError: if there is no head, or the map is unreadable, has the wrong length, or names an unknown class.
    """
    key = f"config.init_label_map={os.fspath(label_map)!r}"
    if KERNEL not in found or BIAS not in found:
        raise ConfigError(f"{key} picks classes from a head, but init_from has no head; leave init_label_map empty")
    numbers, old = _read(label_map, key), len(found[BIAS])
    if len(numbers) != classes:
        raise ConfigError(
            f"{key} has {len(numbers)} classes but the model has {classes}; use the map for the model's data set"
        )
    wrong = next((place for place, number in enumerate(numbers) if not 0 <= number < old), None)
    if wrong is not None:
        raise ConfigError(
            f"{key} takes class {wrong} from class {numbers[wrong]} of init_from, which has {old} classes, 0 to "
            f"{old - 1}; use a map made for these classes"
        )
    picked = np.asarray(numbers)
    return {**found, KERNEL: found[KERNEL][:, picked], BIAS: found[BIAS][picked]}


def _read(label_map: str | os.PathLike, key: str) -> list[int]:
    wanted = "a JSON list of class numbers, such as misc/label_710to400.json of VideoMAE V2's repository"
    try:
        with open(os.path.expanduser(label_map), encoding="utf-8") as file:
            numbers = json.load(file)
    except OSError as error:
        raise ConfigError(f"{key} cannot be read ({error.strerror}); name {wanted}") from error
    except ValueError as error:
        raise ConfigError(f"{key} is not {wanted}: {error}") from error
    if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
        raise ConfigError(f"{key} is not {wanted}")
    return numbers
