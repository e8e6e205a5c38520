"""The one border where a ConfigDict becomes dataclasses: types, ranges and misspelt keys are checked here."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import hashlib
import json
import typing
from typing import Any

from vidjax.config.schema import AT_LEAST_ONE, CHOICES, FRACTIONS, Config
from vidjax.errors import ConfigError


def from_dict(tree: typing.Mapping[str, Any]) -> Config:
    """Turn a (Config)Dict into a checked `Config`.

    Raises:
      ConfigError: for an unknown key (the nearest one is named), a value of the wrong type or out of range.
    """
    config = _build(Config, tree, prefix="")
    for key, allowed in CHOICES.items():
        found = _get(config, key)
        for value in found if isinstance(found, tuple) else (found,):
            if value not in allowed:
                near = difflib.get_close_matches(value, allowed, 1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; choose one of {', '.join(allowed)}"
                raise ConfigError(f"config.{key}={value!r} is unknown{hint}")
    for key, value in _listed(config, AT_LEAST_ONE):
        if value < 1:
            raise ConfigError(f"config.{key}={value} must be at least 1")
    for key, value in _listed(config, FRACTIONS):
        if not 0 <= value <= 1:
            raise ConfigError(f"config.{key}={value} must lie between 0 and 1")
    return config


def fingerprint(tree: Any) -> str:
    """A short, stable hash of a dataclass or a tree of plain values."""
    if dataclasses.is_dataclass(tree):
        tree = dataclasses.asdict(tree)
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]


def _build(cls: type, tree: typing.Mapping[str, Any], prefix: str):
    hints, values = typing.get_type_hints(cls), {}
    for key in tree:
        if key not in hints:
            near = difflib.get_close_matches(key, hints, 1, 0.0)
            raise ConfigError(f"config.{prefix}{key} is unknown; did you mean config.{prefix}{near[0]}?")
        kind, value = hints[key], tree[key]
        if dataclasses.is_dataclass(kind):
            values[key] = _build(kind, value, f"{prefix}{key}.")
        else:
            values[key] = _coerce(kind, value, f"{prefix}{key}")
    return cls(**values)


def _coerce(kind: Any, value: Any, key: str):
    if typing.get_origin(kind) is tuple:
        if isinstance(value, list | tuple):
            return tuple(_coerce(typing.get_args(kind)[0], item, key) for item in value)
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif type(value) is kind:
        return value
    raise ConfigError(f"config.{key}={value!r} must be {_words(kind)}")


def _words(kind: Any) -> str:
    if typing.get_origin(kind) is not tuple:
        return kind.__name__
    items = {int: "numbers", float: "numbers", str: "words"}
    return f"a tuple of {items.get(typing.get_args(kind)[0], 'tuples')}"


def _get(config: Config, key: str) -> Any:
    return functools.reduce(getattr, key.split("."), config)


def _listed(config: Config, table: dict[str, tuple[str, ...]]):
    for section, names in table.items():
        for name in names:
            yield f"{section}.{name}", getattr(getattr(config, section), name)


def flatten(tree: typing.Mapping[str, Any], prefix: str = ""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
