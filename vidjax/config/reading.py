"""Turn a ConfigDict into dataclasses; refuse misspelt keys, and values of the wrong type or out of range.

`vidjax.training.config_checks.check_config` checks that the keys fit each other.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import hashlib
import json
import typing
from typing import Any, Literal

from vidjax.config.schema import Config
from vidjax.config.types import AtLeast, Between, Inside, marks, names_for, plain, takes_outside
from vidjax.errors import ConfigError


def from_dict(tree: typing.Mapping[str, Any]) -> Config:
    """Turn a (Config)Dict into a checked `Config`.

    Raises:
      ConfigError: for an unknown key (with the nearest one), or a value of the wrong type or out of range.
    """
    return _build(Config, tree, prefix="")


def choices(key: str) -> tuple[str, ...]:
    """The choices for a key such as "eval.merge"; empty if any value is allowed."""
    return names_for(hint_of(key))


def hint_of(key: str) -> Any:
    """The type of a key such as "eval.merge", with its marks."""
    hint: Any = Config
    for name in key.split("."):
        hint = named_section(hint) or hints_of(plain(hint))[name]
    return hint


def named_section(hint: Any) -> type | None:
    """The type of the sections that a key holds under names of the user's choice (data.mixture), or None."""
    kind = plain(hint)
    section = typing.get_args(kind)[-1] if typing.get_origin(kind) is dict else None
    return section if dataclasses.is_dataclass(section) else None


@functools.cache
def hints_of(section: type) -> dict[str, Any]:
    """The types of the fields of a dataclass, with their marks."""
    return typing.get_type_hints(section, include_extras=True)


def fingerprint(tree: Any) -> str:
    """A short, stable hash of a dataclass or a tree of plain values."""
    if dataclasses.is_dataclass(tree):
        tree = dataclasses.asdict(tree)
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]


def flatten(tree: typing.Mapping[str, Any], prefix: str = ""):
    """Yield the leaves of nested dicts as pairs of dotted key and value."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def checked(hint: Any, value: Any, key: str) -> Any:
    """Convert a value to a key's type: if the type requires it, integers become floats, and lists become tuples.

    Raises:
      ConfigError: for a value of the wrong type or out of range, or a name that is not one of the choices.
    """
    kind = plain(hint)
    if typing.get_origin(kind) is tuple:
        item, *others = typing.get_args(kind)
        if not isinstance(value, list | tuple) or (... not in others and len(value) != 1 + len(others)):
            raise _wrong_type(hint, value, key)
        return tuple(checked(item, one, key) for one in value)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        value = float(value)
    elif type(value) is not (str if typing.get_origin(kind) is Literal else kind):
        raise _wrong_type(hint, value, key)
    allowed = names_for(hint)
    if allowed and value not in allowed and not takes_outside(hint, value):
        near = difflib.get_close_matches(str(value), allowed, 1)
        every = ", ".join(filter(None, allowed)) + (", or leave it empty" if "" in allowed else "")
        remedy = f"did you mean {near[0]!r}?" if near else f"choose one of {every}"
        raise ConfigError(f"config.{key}={value!r} is unknown; {remedy}")
    for mark in marks(hint):
        if isinstance(mark, AtLeast | Between | Inside) and (complaint := mark.complaint(value)):
            raise ConfigError(f"config.{key}={value} {complaint}")
    return value


def _build(section: type, tree: typing.Mapping[str, Any], prefix: str):
    if not hasattr(tree, "keys"):
        raise ConfigError(f"config.{prefix.rstrip('.')}={tree!r} must be a section with keys")
    hints, values = hints_of(section), {}
    for key in tree:
        if key not in hints:
            near = difflib.get_close_matches(key, hints, 1, 0.0)
            raise ConfigError(f"config.{prefix}{key} is unknown; did you mean config.{prefix}{near[0]}?")
        kind, value = plain(hints[key]), tree[key]
        if dataclasses.is_dataclass(kind):
            values[key] = _build(kind, value, f"{prefix}{key}.")
        elif named := named_section(hints[key]):
            if not hasattr(value, "keys"):
                raise ConfigError(f"config.{prefix}{key}={value!r} must hold sections, each under a name")
            values[key] = {name: _build(named, value[name], f"{prefix}{key}.{name}.") for name in value}
        else:
            values[key] = checked(hints[key], value, f"{prefix}{key}")
    return section(**values)


def _wrong_type(hint: Any, value: Any, key: str) -> ConfigError:
    return ConfigError(f"config.{key}={value!r} must be {_words(hint)}")


def _words(hint: Any) -> str:
    kind = plain(hint)
    if typing.get_origin(kind) is tuple:
        types = typing.get_args(kind)
        item, count = plain(types[0]), "" if ... in types else f"{len(types)} "
        items = {int: "integers", float: "numbers", str: "texts"}
        return f"a tuple of {count}{'texts' if typing.get_origin(item) is Literal else items.get(item, 'tuples')}"
    words = {int: "an integer", float: "a number", bool: "True or False", str: "text"}
    return "text" if typing.get_origin(kind) is Literal else words.get(kind, kind.__name__)
