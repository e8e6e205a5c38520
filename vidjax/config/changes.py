"""Access to configuration keys by dotted name: read them, change them in a copy, and list those left to vidjax."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from vidjax.config.reading import from_dict, hints_of
from vidjax.config.schema import Config
from vidjax.config.types import Auto, marks, plain


def get_key(config: Config, key: str) -> Any:
    """The value of a key such as "data.global_batch"."""
    value: Any = config
    for name in key.split("."):
        value = value[name] if isinstance(value, Mapping) else getattr(value, name)
    return value


def with_keys(config: Config, changes: Mapping[str, Any]) -> Config:
    """A copy with new values for keys such as "data.global_batch", checked like any configuration."""
    tree = dataclasses.asdict(config)
    for key, value in changes.items():
        *sections, name = key.split(".")
        branch = tree
        for section in sections:
            branch = branch[section]
        branch[name] = value
    return from_dict(tree)


def left_open(config: Config) -> tuple[str, ...]:
    """The keys whose values are left to vidjax, in the order of the schema."""
    autos = {key: mark.value for key, hint in _hints(Config) for mark in marks(hint) if isinstance(mark, Auto)}
    return tuple(key for key, auto in autos.items() if get_key(config, key) == auto)


def _hints(section: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, hint in hints_of(section).items():
        if dataclasses.is_dataclass(kind := plain(hint)):
            yield from _hints(kind, f"{prefix}{name}.")
        else:
            yield prefix + name, hint
