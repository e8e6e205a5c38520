"""The form of a configuration in config.json: all keys, and a schema number.

Checkpoints carry the same number. A run with another schema number is refused, because its keys or the items of its
checkpoints have another meaning. Increase `SCHEMA` whenever a key is added, removed, renamed or read differently, or
the items of a checkpoint change.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from vidjax.config.reading import from_dict
from vidjax.config.schema import Config
from vidjax.errors import ConfigError

SCHEMA = 9
KEY = "schema"


def to_saved(config: Config) -> dict[str, Any]:
    """The content of config.json for a configuration."""
    return {KEY: SCHEMA} | dataclasses.asdict(config)


def from_saved(tree: Any) -> Config:
    """The configuration for the content of a config.json.

    Raises:
      ConfigError: when the content is no configuration, has no schema number or another one, or is refused by
        `from_dict`.
    """
    if complaint := other_schema(tree):
        raise ConfigError(complaint)
    return from_dict({key: value for key, value in tree.items() if key != KEY})


def other_schema(tree: Any) -> str:
    """The reason why the content of config.json or of a checkpoint's `meta` cannot be read; empty if it can."""
    if not isinstance(tree, Mapping):
        return "it holds no settings"
    if tree.get(KEY) == SCHEMA:
        return ""
    found = f"schema {tree[KEY]}" if KEY in tree else "no schema number"
    return f"it has {found}, but this version of vidjax reads schema {SCHEMA}; use the version that wrote it"
