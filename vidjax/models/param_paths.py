"""Parameters by path: `encoder/blocks/attn/qkv/kernel` is how rules and configurations name one."""

from __future__ import annotations

import re
from typing import Any

import jax


def path_name(path: tuple[Any, ...]) -> str:
    """The keys of a leaf's path, as `jax.tree_util` gives it, joined by slashes."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def matches(params: Any, pattern: str) -> Any:
    """A tree of bools: where `pattern` is found in a leaf's path."""
    found = re.compile(pattern).search
    return jax.tree_util.tree_map_with_path(lambda path, _: found(path_name(path)) is not None, params)
