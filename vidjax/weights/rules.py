"""Rules that turn foreign parameters into vidjax trees and back, with strict accounting.

A layout is a tuple of rules, read from left to right: which keys of the file, which leaves of the tree, and how arrays
are turned around. Nothing is guessed: a key that is missing, unused or of another shape is an error that lists it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures

import numpy as np

from vidjax.errors import WeightsError

State = Mapping[str, np.ndarray]
Arrays = tuple[np.ndarray, ...]
SHOWN = 8  # keys that an error lists


@dataclasses.dataclass(frozen=True)
class Form:
    """How the arrays of the sources become those of the targets, and the way back."""

    read: Callable[..., Arrays]
    write: Callable[..., Arrays]


@dataclasses.dataclass(frozen=True)
class Rule:
    """Keys of the file to leaves of the tree.

    Attributes:
      sources: keys; "{}" stands for the number of a block, and such a rule is applied to each of `depth` blocks, whose
        leaves are stacked on axis 0.
      targets: paths of leaves, such as "encoder/blocks/norm1/scale".
      form: turns the arrays of one block around.
      depth: number of blocks; 0 for a rule without "{}".
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    form: Form
    depth: int = 0


def read(rules: Sequence[Rule], state: State, shapes, *, ignore: str = "") -> dict:
    """The tree that a file's arrays make.

    Args:
      rules: of the file's layout.
      state: arrays by key.
      shapes: tree of arrays or `jax.ShapeDtypeStruct`s that is wanted, nested dicts.
      ignore: regular expression of keys without weights in them, such as masks that PyTorch keeps as buffers.

    Raises:
      WeightsError: listing all keys that are missing, unused, of another shape or not of floating point.
    """
    wanted = flatten(shapes)
    needed = {key.format(block) for rule in rules for key in rule.sources for block in range(max(rule.depth, 1))}
    unused = [key for key in state if key not in needed and not (ignore and re.search(ignore, key))]
    problems = {"missing": sorted(needed - state.keys()), "unused": sorted(unused), "of another shape": []}
    problems["not of floating point"] = sorted(key for key in needed & state.keys() if state[key].dtype.kind != "f")
    if not problems["missing"]:
        found: dict[str, np.ndarray] = {}
        with futures.ThreadPoolExecutor() as pool:  # NumPy copies without holding the interpreter's lock
            for part in pool.map(lambda rule: _apply(rule, state, wanted, problems["of another shape"]), rules):
                found |= part
        problems["without a rule"] = sorted(wanted.keys() - found.keys())
        problems["with a rule but not in the model"] = sorted(found.keys() - wanted.keys())
    if any(problems.values()):
        raise WeightsError("; ".join(_listing(words, keys) for words, keys in problems.items() if keys))
    return nest(found)


def write(rules: Sequence[Rule], params) -> dict[str, np.ndarray]:
    """The file's arrays that a tree makes: the inverse of `read`."""
    leaves, state = {path: np.asarray(leaf) for path, leaf in flatten(params).items()}, {}
    for rule in rules:
        targets = [leaves[path] for path in rule.targets]
        for block in range(max(rule.depth, 1)):
            arrays = rule.form.write(*(leaf[block] if rule.depth else leaf for leaf in targets))
            for key, array in zip(rule.sources, arrays, strict=True):
                state[key.format(block)] = np.ascontiguousarray(array)
    return state


def _apply(rule: Rule, state: State, wanted: Mapping, misshaped: list[str]) -> dict[str, np.ndarray]:
    blocks = []
    for block in range(max(rule.depth, 1)):
        sources = [np.asarray(state[key.format(block)]) for key in rule.sources]
        shapes = ", ".join(f"{key.format(block)} {s.shape}" for key, s in zip(rule.sources, sources, strict=True))
        try:
            blocks.append(rule.form.read(*sources))
        except (ValueError, IndexError):  # NumPy's words for a reshape that cannot be, and for an axis that is not
            misshaped.append(shapes)
            return {path: np.empty(0) for path in rule.targets}
        if any(array.shape != first.shape for array, first in zip(blocks[-1], blocks[0], strict=True)):
            misshaped.append(f"{shapes}, unlike block 0's")
            return {path: np.empty(0) for path in rule.targets}
    # A copy even of a single array: that of a .pth is a view of the file on disk.
    leaves = [np.stack(column) if rule.depth else np.array(column[0]) for column in zip(*blocks, strict=True)]
    for path, leaf in zip(rule.targets, leaves, strict=True):
        if path in wanted and tuple(wanted[path].shape) != leaf.shape:
            shapes = f"{leaf.shape} instead of {tuple(wanted[path].shape)} for {path}"
            misshaped.append(f"{', '.join(rule.sources)} {shapes}")
    return {path: np.asarray(leaf, np.float32) for path, leaf in zip(rule.targets, leaves, strict=True)}


def _listing(words: str, keys: list[str]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    count = "1 key is" if len(keys) == 1 else f"{len(keys)} keys are"
    return f"{count} {words}: {', '.join(keys[:SHOWN])}{more}"


def flatten(tree: Mapping, prefix: str = "") -> dict:
    """Leaves of nested dicts by path, such as "encoder/norm/scale"."""
    flat = {}
    for name, value in tree.items():
        flat |= flatten(value, f"{prefix}{name}/") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def nest(flat: Mapping[str, object]) -> dict:
    """The inverse of `flatten`."""
    tree: dict = {}
    for path, leaf in flat.items():
        *parents, name = path.split("/")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = leaf
    return tree
