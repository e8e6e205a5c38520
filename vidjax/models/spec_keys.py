"""`config.model.spec`: the fields of a family's spec that a run sets, checked against the spec's types."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

from vidjax.config import checked
from vidjax.config.types import Changeable, marks, plain
from vidjax.errors import ConfigError, nearest
from vidjax.models.presets import FAMILIES, family_of
from vidjax.models.spec import ClipSpec

# Fields of every spec that other keys of the configuration set.
SET_BY = {
    "num_frames": "data.num_frames",
    "image_size": "data.image_size",
    "drop_path": "model.drop_path",
    "head_dropout": "model.head_dropout",
    "dtype": "model.dtype",
    "remat": "model.remat",
    "unroll": "model.unroll",
    "attention": "model.attention",
}


def spec_fields(name: str, values: Mapping[str, Any], at: str = "model.spec") -> dict[str, Any]:
    """Check `config.model.spec` and return it as fields of the model's spec.

    Args:
      name: `config.model.name`.
      values: `config.model.spec`; the other fields keep the preset's values.
      at: the key that holds `values`, for messages.

    Raises:
      ConfigError: for a key that is misspelt, belongs to another family or is set by another key of the configuration,
        and for a value of the wrong type.
    """
    family = FAMILIES.find(family_of(name)[0])
    hints = _hints(family.spec_type)
    for key in values:
        if key in SET_BY:
            raise ConfigError(f"config.{at}.{key} is set by config.{SET_BY[key]}; use that")
        if key not in hints:
            raise ConfigError(_unknown(key, name, hints, at))
    return {key: _checked(hints[key], value, f"{at}.{key}") for key, value in values.items()}


def changeable(spec_type: type[ClipSpec]) -> tuple[str, ...]:
    """Return the fields that may change when a run is resumed."""
    hints = _hints(spec_type)
    return tuple(key for key, hint in hints.items() if any(isinstance(mark, Changeable) for mark in marks(hint)))


def _hints(spec_type: type[ClipSpec]) -> dict[str, Any]:
    """Return the types, with their marks, of the fields that `config.model.spec` can set."""
    hints = typing.get_type_hints(spec_type, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(spec_type) if field.name not in SET_BY}


def _checked(hint: Any, value: Any, key: str) -> Any:
    kind = plain(hint)
    if isinstance(kind, types.UnionType):  # such as str | None
        if value is None:
            return None
        kind = next(option for option in typing.get_args(kind) if option is not type(None))
    return checked(kind, value, key)


def _unknown(key: str, name: str, hints: Mapping[str, Any], at: str) -> str:
    ours = FAMILIES.find(family_of(name)[0]).title
    theirs = [family.title for family in FAMILIES.values() if key in _hints(family.spec_type)]
    named = f"{at.partition('.')[0]}.name={name}"
    if theirs:
        return f"config.{at}.{key} belongs to {' and '.join(theirs)}; {named} is a {ours}; leave {key} out"
    return f"config.{at}.{key} is unknown for {named}; {nearest(key, hints, f'config.{at}.{{}}')}"
