"""LoRA: a projection W becomes W + alpha / rank * A B, and only A and B are trained (Hu et al. 2021, arXiv:2106.09685).

A projection is a matrix of inputs x outputs inside a kernel. Its name follows from the kernel's path, and its size from
the kernel's shape. Below, `..` is the layer axis of stacked blocks, whose layers each have their own A and B:

    .../qkv/kernel  (.. d 3 h e)   .../query, .../key and .../value, each d x (h e)
    .../proj/kernel (.. h e d)     .../proj, (h e) x d
    .../NAME/kernel (.. i o)       .../NAME, i x o

The terms are stored next to the module's parameters, as "lora/<projection>/A" and ".../B". B starts at zero, so that
the model starts as its base; A starts as in the authors' library and in peft, uniformly within +-1 / sqrt(inputs).
"""

from __future__ import annotations

import collections
import dataclasses
import math
import re
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vidjax.config import LoraConfig
from vidjax.errors import ConfigError
from vidjax.models.param_paths import flatten, nest

LORA = "lora"  # the subtree of the terms
# The default targets: queries and values of attention, as in the paper, and projections of Mamba's mixer.
USUAL = (r"(^|/)(query|value)$", r"(^|/)(in|x|out)_proj$")
_QKV = ("query", "key", "value")
_CONVOLUTION = re.compile(r"(^|/)conv/kernel$")  # one filter per channel, so not a matrix


@dataclasses.dataclass(frozen=True)
class Projection:
    """A matrix that can be adapted.

    Attributes:
      kernel: path of the kernel that holds it.
      part: its place among query, key and value; None if the kernel holds nothing else.
      layers: the layer axis, () or (number of layers,).
      inputs, outputs: its size.
    """

    kernel: str
    part: int | None
    layers: tuple[int, ...]
    inputs: int
    outputs: int


def projections(params: Mapping) -> dict[str, Projection]:
    """Return the projections of a module's parameters, or of their shapes, by name."""
    found = {}
    for path, leaf in flatten(params).items():
        name, _, kind = path.rpartition("/")
        if kind != "kernel" or _CONVOLUTION.search(path):
            continue
        first = int("blocks" in path.split("/"))
        layers, shape = tuple(leaf.shape[:first]), leaf.shape[first:]
        parent, _, own = name.rpartition("/")
        if own == "qkv" and len(shape) == 4:
            for part, which in enumerate(_QKV):
                inside = f"{parent}/{which}" if parent else which
                found[inside] = Projection(path, part, layers, shape[0], math.prod(shape[2:]))
        elif own == "proj" and len(shape) == 3:
            found[name] = Projection(path, None, layers, math.prod(shape[:2]), shape[2])
        elif len(shape) == 2:
            found[name] = Projection(path, None, layers, *shape)
    return dict(sorted(found.items()))


def adapted(params: Mapping, lora: LoraConfig) -> dict[str, Projection]:
    """Return the projections that a configuration adapts, by name.

    Args:
      params: the frozen parameters, or their shapes.

    Raises:
      ConfigError: for a pattern that is not a regular expression or matches no projection, for a model without default
        targets if none are given, and for a rank too large for a projection.
    """
    found, key = projections(params), "config.model.lora.targets"
    chosen = set()
    for pattern in lora.targets:
        try:
            of_pattern = set(filter(re.compile(pattern).search, found))
        except re.error as error:
            raise ConfigError(f"{key}: {pattern!r} is not a regular expression: {error}") from error
        if not of_pattern:
            raise ConfigError(f"{key}: {pattern!r} matches none of the model's projections: {', '.join(found)}")
        chosen |= of_pattern
    if not lora.targets:
        chosen = {name for name in found for usual in USUAL if re.search(usual, name)}
    if not chosen:
        raise ConfigError(f"{key} is empty, and this model has no default targets; choose from {', '.join(found)}")
    for name in sorted(chosen):
        inputs, outputs = found[name].inputs, found[name].outputs
        if lora.rank > min(inputs, outputs):
            raise ConfigError(
                f"config.model.lora.rank={lora.rank} is larger than {name}, a matrix of {inputs} x {outputs}; use at "
                f"most {min(inputs, outputs)}, or leave this matrix out of {key}"
            )
    return {name: found[name] for name in sorted(chosen)}


def initial_terms(params: Mapping, lora: LoraConfig, key: Array) -> dict[str, Any]:
    """Return A and B of every adapted projection, as the subtree "lora"; arguments as for `adapted`."""
    terms = {}
    for name, of in adapted(params, lora).items():
        bound, own = of.inputs**-0.5, jax.random.fold_in(key, zlib.crc32(name.encode()))
        terms[f"{name}/A"] = jax.random.uniform(own, (*of.layers, of.inputs, lora.rank), jnp.float32, -bound, bound)
        terms[f"{name}/B"] = jnp.zeros((*of.layers, lora.rank, of.outputs), jnp.float32)
    return nest(terms)


def merge(params: Mapping, alpha: float) -> dict[str, Any]:
    """Return a module's parameters from those of a run: W + alpha / rank * A B replaces W, and the terms are left out.

    Args:
      params: the module's parameters and, as "lora", the terms; NumPy arrays stay on the host.
    """
    flat, terms = flatten({name: tree for name, tree in params.items() if name != LORA}), flatten(params[LORA])
    found, changes = projections(params), collections.defaultdict(dict)
    for name in sorted({path.rpartition("/")[0] for path in terms}):
        A, B = terms[f"{name}/A"], terms[f"{name}/B"]
        changes[found[name].kernel][found[name].part] = _product(A, B) * np.float32(alpha / A.shape[-1])
    for path, parts in changes.items():
        flat[path] = flat[path] + _as_kernel(parts, flat[path].shape)
    return nest(flat)


def _product(A: Float[Array, "*l i r"], B: Float[Array, "*l r o"]) -> Float[Array, "*l i o"]:
    """Multiply in full float32 on every platform, so that merging elsewhere gives the same outputs as in training."""
    if isinstance(A, np.ndarray):
        return A @ B
    return jnp.matmul(A, B, precision=jax.lax.Precision.HIGHEST)


def _as_kernel(parts: Mapping[int | None, Any], shape: tuple[int, ...]) -> Any:
    """Arrange the changes of projections like their kernel, with zeros for an unadapted query, key or value."""
    if None in parts:
        return parts[None].reshape(shape)
    first = next(iter(parts.values()))
    numpy = np if isinstance(first, np.ndarray) else jnp
    heads = (*shape[:-3], *shape[-2:])  # (.. d h e)
    found = [parts[part] if part in parts else numpy.zeros_like(first) for part in range(len(_QKV))]
    return numpy.stack([change.reshape(heads) for change in found], axis=-3)
