"""Paths such as `encoder/blocks/attn/qkv/kernel`, by which rules and configurations name parameters."""

from __future__ import annotations

import re
from typing import Any

import jax


def path_name(path: tuple[Any, ...]) -> str:
    """Join the keys of a leaf's `jax.tree_util` path with slashes."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def matches(params: Any, pattern: str) -> Any:
    """Return a tree of bools: whether the regular expression `pattern` is found in each leaf's path."""
    found = re.compile(pattern).search
    return jax.tree_util.tree_map_with_path(lambda path, _: found(path_name(path)) is not None, params)
