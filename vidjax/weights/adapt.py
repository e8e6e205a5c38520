"""Adapt a model to another number of frames, another resolution or other classes, with a note on every change.

Fixed positions are recomputed, learned positions are interpolated as the family's authors do, and a head of another
size is initialised anew.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from vidjax.errors import ConfigError
from vidjax.models import FAMILIES
from vidjax.models.pooling import PooledClassifier
from vidjax.models.video_text import VideoTextModel
from vidjax.weights.checkpoint_layouts import example_inputs
from vidjax.weights.resize_positions import fit_positions
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
    """Change the clip size or the classes of a model; None keeps the current value.

    Args:
      family: a name in `vidjax.models.FAMILIES`.
      module, params: a model of that family, with a text tower or without.
      num_classes: the number of classes; turns a pre-training module into a classifier.

    Returns:
      the module, its parameters, and notes on what was done.

    Raises:
      ConfigError: if the cubes do not tile clips of the new size, the number of classes is negative, or the model is a
        probe of several segments.
    """
    if isinstance(module, PooledClassifier) and module.segments > 1:
        raise ConfigError(
            f"a probe of {module.segments} segments takes clips of {module.spec.num_frames} frames and cannot be given "
            "another size or other classes; load the backbone that it was trained on"
        )
    changes = {"num_frames": num_frames, "image_size": image_size}
    if isinstance(module, VideoTextModel):
        whole = module.spec
        video = dataclasses.replace(whole.video, **{key: value for key, value in changes.items() if value is not None})
        towers, notes = fit_positions(params["video"], whole.video, video)
        return module.clone(spec=dataclasses.replace(whole, video=video)), {**params, "video": towers}, notes
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
        instead = f" instead of one for {had} classes" if had else ""
        notes = (*notes, head + instead, *changed)
    else:
        module = module.clone(spec=spec)
    return module, params, notes


def _complete(module: nn.Module, params: Mapping) -> tuple[dict, tuple[str, ...]]:
    """Initialise the leaves of the module that `params` lacks or has in another shape.

    Returns:
      all parameters of the module; notes on leaves that were initialised or ignored, except those of the head.
    """
    inputs = example_inputs(module.spec, pretraining=False)
    found = flatten(params)
    wanted = flatten(jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"])
    taken = {path: found[path] for path, leaf in wanted.items() if path in found and found[path].shape == leaf.shape}
    new, left = ({path for path in paths if not path.startswith("head/")} - taken.keys() for paths in (wanted, found))
    notes = [f"starts fresh: {groups(new)}"] if new else []
    notes += [f"not used: {groups(left)}"] if left else []
    return nest(taken | fresh(module, inputs, wanted.keys() - taken.keys())), tuple(notes)


def fresh(module: nn.Module, inputs: tuple, paths: Collection[str]) -> dict[str, Any]:
    """Compute the initial values of some leaves of a module, by path."""

    def init(key):
        zeros = (jnp.zeros(shape.shape, shape.dtype) for shape in inputs)
        leaves = flatten(module.init(key, *zeros)["params"])
        return {path: leaves[path] for path in paths}

    return jax.device_get(jax.jit(init)(jax.random.key(0))) if paths else {}


def groups(paths: Collection[str]) -> str:
    """List the modules to which paths of leaves belong, as text for a message."""
    return ", ".join(
        sorted({path.rsplit("/", 1)[0] if path.startswith("encoder") else path.split("/")[0] for path in paths})
    )
