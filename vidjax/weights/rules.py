"""Rules that turn foreign parameters into vidjax trees and back, with strict accounting.

A rule names keys of the file, leaves of the tree, and the conversion between their arrays. Nothing is guessed: missing
and unused keys and wrong shapes raise an error that lists them.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures

import numpy as np

from vidjax.errors import WeightsError
from vidjax.models.param_paths import flatten, nest

State = Mapping[str, np.ndarray]
Arrays = tuple[np.ndarray, ...]
SHOWN = 8  # keys that an error lists


@dataclasses.dataclass(frozen=True)
class Form:
    """A conversion of a rule's source arrays to its target arrays, and its inverse."""

    read: Callable[..., Arrays]
    write: Callable[..., Arrays]


@dataclasses.dataclass(frozen=True)
class Rule:
    """A map from keys of the file to leaves of the tree.

    Attributes:
      sources: keys of the file. "{}" stands for the number of a block: such a rule applies to each of `depth` blocks,
        whose leaves are stacked on axis 0.
      targets: paths of leaves, such as "encoder/blocks/norm1/scale".
      form: converts the arrays of one block.
      depth: number of blocks to stack; 0 if nothing is stacked.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    form: Form
    depth: int = 0


def read(rules: Sequence[Rule], state: State, shapes: Callable[[], Mapping], *, ignore: str = "") -> dict:
    """Convert a file's arrays to a tree.

    Args:
      rules: the rules of the file's layout.
      state: arrays by key.
      shapes: returns the expected tree, nested dicts of `jax.ShapeDtypeStruct`s; called while arrays are copied.
      ignore: regular expression for keys that are not read, such as masks that PyTorch keeps as buffers.

    Raises:
      WeightsError: if keys are missing, unused, misshapen or not floating point; the message lists them.
    """
    needed = {key.format(block) for rule in rules for key in rule.sources for block in range(max(rule.depth, 1))}
    unused = [key for key in state if key not in needed and not (ignore and re.search(ignore, key))]
    problems = {"missing": sorted(needed - state.keys()), "unused": sorted(unused)}
    problems["not floating point"] = sorted(key for key in needed & state.keys() if state[key].dtype.kind != "f")
    found: dict[str, np.ndarray] = {}
    if not problems["missing"]:
        misshaped: list[str] = []
        with futures.ThreadPoolExecutor() as pool:  # NumPy copies without holding the interpreter's lock
            parts = pool.map(lambda rule: _apply(rule, state, misshaped), rules)
            wanted = flatten(shapes())
        for rule, part in zip(rules, parts, strict=True):
            found |= part
            misshaped += [
                f"{', '.join(rule.sources)} {leaf.shape} instead of {tuple(wanted[path].shape)} for {path}"
                for path, leaf in part.items()
                if path in wanted and leaf.shape != tuple(wanted[path].shape)
            ]
        problems["of another shape"] = misshaped
        problems["without a rule"] = sorted(wanted.keys() - {path for rule in rules for path in rule.targets})
        problems["with a rule but not in the model"] = sorted(found.keys() - wanted.keys())
    if any(problems.values()):
        raise WeightsError("; ".join(_listing(words, keys) for words, keys in problems.items() if keys))
    return nest(found)


def write(rules: Sequence[Rule], params) -> dict[str, np.ndarray]:
    """Convert a tree to a file's arrays; the inverse of `read`."""
    leaves, state = {path: np.asarray(leaf) for path, leaf in flatten(params).items()}, {}
    for rule in rules:
        targets = [leaves[path] for path in rule.targets]
        for block in range(max(rule.depth, 1)):
            arrays = rule.form.write(*(leaf[block] if rule.depth else leaf for leaf in targets))
            for key, array in zip(rule.sources, arrays, strict=True):
                state[key.format(block)] = np.asarray(array, order="C")
    return state


def _apply(rule: Rule, state: State, misshaped: list[str]) -> dict[str, np.ndarray]:
    """Return the leaves that a rule makes; if its arrays have wrong shapes, return none and add to `misshaped`."""
    blocks = []
    for block in range(max(rule.depth, 1)):
        sources = [np.asarray(state[key.format(block)]) for key in rule.sources]
        shapes = ", ".join(f"{key.format(block)} {s.shape}" for key, s in zip(rule.sources, sources, strict=True))
        try:
            blocks.append(rule.form.read(*sources))
        except (ValueError, IndexError):  # NumPy raises them for an impossible reshape and a missing axis
            misshaped.append(shapes)
            return {}
        if any(array.shape != first.shape for array, first in zip(blocks[-1], blocks[0], strict=True)):
            misshaped.append(f"{shapes}, unlike block 0's")
            return {}
    leaves = [_copied(column, stack=rule.depth > 0) for column in zip(*blocks, strict=True)]
    return dict(zip(rule.targets, leaves, strict=True))


def _copied(arrays: Sequence[np.ndarray], *, stack: bool) -> np.ndarray:
    """Copy arrays of one shape to float32: stacked on axis 0, or, without `stack`, a single array.

    The copy is aligned to 64 bytes, so that JAX uses it on a CPU without copying again.
    """
    shape = (len(arrays), *arrays[0].shape) if stack else arrays[0].shape
    count = math.prod(shape)
    room = np.empty(count + 15, np.float32)
    start = -room.ctypes.data % 64 // 4
    leaf = room[start : start + count].reshape(shape)
    if stack:
        np.stack(arrays, out=leaf)
    else:
        leaf[...] = arrays[0]
    return leaf


def _listing(words: str, keys: list[str]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    count = "1 key is" if len(keys) == 1 else f"{len(keys)} keys are"
    return f"{count} {words}: {', '.join(keys[:SHOWN])}{more}"
