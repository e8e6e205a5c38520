"""A model for other frames, another resolution or other classes than its weights were made for; every change is told.

Fixed positions are computed anew, learned ones interpolated as the family's authors do, a head of another size starts
fresh.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vidjax.errors import ConfigError, WeightsError
from vidjax.models import FAMILIES, ClipSpec, Positions
from vidjax.models.pooling import PooledClassifier
from vidjax.weights.layouts import example_inputs
from vidjax.weights.resampling import resample
from vidjax.weights.rules import flatten, nest


def adapt(
    family: str,
    module: nn.Module,
    params: Mapping,
    *,
    num_frames: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    num_classes: int | None = None,
) -> tuple[nn.Module, dict, tuple[str, ...]]:
    """Change the clips or the classes of a model; None leaves them as they are.

    Args:
      family: as `vidjax.models.FAMILIES` finds it.
      module, params: of that family; a pre-training module is turned into a classifier by `num_classes`.

    Returns:
      module, parameters, and sentences that say what was done.

    Raises:
      ConfigError: when the cubes do not tile such clips, or the number of classes is negative.
    """
    changes = {"num_frames": num_frames, "image_size": image_size}
    spec = dataclasses.replace(module.spec, **{key: value for key, value in changes.items() if value is not None})
    classifier = FAMILIES.find(family).classifier
    had = module.num_classes if isinstance(module, (classifier, PooledClassifier)) else None
    params, notes = fit_positions(params, module.spec, spec)
    if num_classes is not None and num_classes != had:
        if num_classes < 0:
            raise ConfigError(f"num_classes={num_classes} must be at least 0")
        if not had and num_classes:
            spec = spec.for_classes()
        module = classifier(spec, num_classes)
        params, changed = _complete(module, params)
        head = f"a fresh head for {num_classes} classes" if num_classes else "no head"
        instead = f" instead of that for {had}" if had else ""
        notes = (*notes, head + instead, *changed)
    else:
        module = module.clone(spec=spec)
    return module, params, notes


def fit_positions(params: Mapping, old: ClipSpec, new: ClipSpec) -> tuple[dict, tuple[str, ...]]:
    """The parameters with learned positions resized from one grid of cubes to another, and what was done."""
    if old.grid == new.grid:
        return dict(params), ()
    flat, notes = dict(flatten(params)), []
    if not old.learned_positions:
        grids = ["x".join(map(str, spec.grid)) for spec in (new, old)]
        notes.append(f"fixed sine-cosine positions computed for {grids[0]} cubes (t h w) instead of {grids[1]}")
    for path, positions in old.learned_positions.items():
        if path in flat:
            flat[path], note = _resized(path, np.asarray(flat[path]), positions, old, new)
            notes += [note] if note else []
    return nest(flat), tuple(notes)


def _resized(
    path: str, table: np.ndarray, positions: Positions, old: ClipSpec, new: ClipSpec
) -> tuple[np.ndarray, str]:
    before, after = (tuple(spec.grid["thw".index(axis)] for axis in positions.axes) for spec in (old, new))
    extra = len(table) - math.prod(before)  # a class token's row, which stays
    if extra not in (0, 1):
        raise WeightsError(f"{path} holds {len(table)} positions, which are not those of {old.grid} cubes")
    if before == after:
        return table, ""
    places = resample(table[extra:].reshape(*before, -1), after, positions.methods).reshape(math.prod(after), -1)
    words = ["x".join(map(str, size)) for size in (before, after)]
    methods = " and ".join(dict.fromkeys(positions.methods))
    note = f"{path} resized from {words[0]} to {words[1]} ({' '.join(positions.axes)}; {methods})"
    return np.concatenate([table[:extra], places]), note


def _complete(module: nn.Module, params: Mapping) -> tuple[dict, tuple[str, ...]]:
    """What a module can take of the parameters, the rest initialised, and sentences beside that on the head."""
    inputs = example_inputs(module.spec, pretraining=False)
    found = flatten(params)
    wanted = flatten(jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"])
    taken = {path: found[path] for path, leaf in wanted.items() if path in found and found[path].shape == leaf.shape}
    new, left = ({path for path in paths if not path.startswith("head/")} - taken.keys() for paths in (wanted, found))
    notes = [f"starts fresh: {groups(new)}"] if new else []
    notes += [f"not used: {groups(left)}"] if left else []
    return nest(taken | fresh(module, inputs, wanted.keys() - taken.keys())), tuple(notes)


def fresh(module: nn.Module, inputs: tuple, paths: Collection[str]) -> dict[str, Any]:
    """Some leaves of a module's initial parameters, by path; only these are computed."""

    def init(key):
        zeros = (jnp.zeros(shape.shape, shape.dtype) for shape in inputs)
        leaves = flatten(module.init(key, *zeros)["params"])
        return {path: leaves[path] for path in paths}

    return jax.device_get(jax.jit(init)(jax.random.key(0))) if paths else {}


def groups(paths: Collection[str]) -> str:
    """Paths of leaves by the modules they belong to, for a sentence."""
    return ", ".join(
        sorted({path.rsplit("/", 1)[0] if path.startswith("encoder") else path.split("/")[0] for path in paths})
    )
