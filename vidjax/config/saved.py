"""A configuration as config.json holds it: all keys, and the number of the form that they have there.

Checkpoints carry the same number. A run of another form is refused: its keys, or the parts of its checkpoints, mean
something else. Raise `SCHEMA` whenever a key is added, removed, renamed or read in another way, or the items of a
checkpoint change.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from vidjax.config.reading import from_dict
from vidjax.config.schema import Config
from vidjax.errors import ConfigError

SCHEMA = 2
KEY = "schema"


def to_saved(config: Config) -> dict[str, Any]:
    """What is written to config.json."""
    return {KEY: SCHEMA} | dataclasses.asdict(config)


def from_saved(tree: Any) -> Config:
    """The configuration in what was read from config.json.

    Raises:
      ConfigError: for what is no configuration, another schema number or none, and as `from_dict`.
    """
    if complaint := other_schema(tree):
        raise ConfigError(complaint)
    return from_dict({key: value for key, value in tree.items() if key != KEY})


def other_schema(tree: Any) -> str:
    """Why the content of config.json, or a checkpoint's meta, is of a form that is not read; empty when it is."""
    if not isinstance(tree, Mapping):
        return "it holds no settings"
    if tree.get(KEY) == SCHEMA:
        return ""
    found = f"schema {tree[KEY]}" if KEY in tree else "no schema number"
    return f"it has {found}, and this version of vidjax reads schema {SCHEMA}; use the version that wrote it"
