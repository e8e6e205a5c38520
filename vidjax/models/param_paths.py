"""Paths such as `encoder/blocks/attn/qkv/kernel`, by which rules and configurations name parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jax


def path_name(path: tuple[Any, ...]) -> str:
    """Join the keys of a leaf's `jax.tree_util` path with slashes."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def matches(params: Any, pattern: str) -> Any:
    """Return a tree of bools: whether the regular expression `pattern` is found in each leaf's path."""
    found = re.compile(pattern).search
    return jax.tree_util.tree_map_with_path(lambda path, _: found(path_name(path)) is not None, params)


def flatten(tree: Mapping, prefix: str = "") -> dict:
    """Return the leaves of nested dicts by path, such as "encoder/norm/scale"."""
    flat = {}
    for name, value in tree.items():
        flat |= flatten(value, f"{prefix}{name}/") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def nest(flat: Mapping[str, object]) -> dict:
    """Undo `flatten`."""
    tree: dict = {}
    for path, leaf in flat.items():
        *parents, name = path.split("/")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = leaf
    return tree


def split(params: Any, pattern: str) -> tuple[Any, Any]:
    """Divide a tree into the leaves whose path does not match and those whose path does; "" matches none."""
    if not pattern:
        return params, {}
    halves: tuple[dict, dict] = {}, {}
    for path, leaf in flatten(params).items():
        halves[re.search(pattern, path) is not None][path] = leaf
    return nest(halves[False]), nest(halves[True])


def join(params: Any, others: Any) -> Any:
    """Undo `split`."""
    return nest(flatten(params) | flatten(others)) if others else params
