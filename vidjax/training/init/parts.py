"""Initialise the parts of an objective from the checkpoints that the configuration names."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

from vidjax.config import Config
from vidjax.models.gpt2 import GPT2Spec
from vidjax.models.text_tower import TextTowerSpec
from vidjax.objectives.base import Part
from vidjax.training.init.language_model import init_language_model
from vidjax.training.init.teacher import init_teacher
from vidjax.training.init.two_towers import init_two_towers
from vidjax.training.init.video_model import init_video_model
from vidjax.training.mesh import place_like
from vidjax.weights import adapt, read_run
from vidjax.weights.rules import flatten, nest
from vidjax.weights.run_files import is_run


def init_parts(params: Mapping, config: Config, parts: Iterable[Part]) -> tuple[Mapping, list[str]]:
    """Replace the parameters of each part of an objective with those of the checkpoint that its key names, if any.

    If config.init_from is a run with the same parts, such as a captioner, its other parts are used as well, unless
    another key names a checkpoint.

    Args:
      params: parameters of the new model, with their shardings.
      parts: the parts of the objective of `config`.

    Returns:
      The parameters with their shardings, and for each checkpoint a sentence that says what was taken from it.

    Raises:
      ConfigError: when a checkpoint does not fit; see `init_video_model`, `init_language_model`, `init_teacher` and
        `init_two_towers`.
    """
    parts = tuple(parts)
    if len(parts) == 2 and isinstance(parts[1].spec, TextTowerSpec):
        return init_two_towers(params, config, parts)
    sources = {part: source for part in parts if (source := _get(config, part.key))}
    notes = []
    for part, source in sources.items():
        inside, note = _init_part(params[part.name] if part.name else params, part, source, config)
        params = {**params, part.name: inside} if part.name else inside
        notes.append(f"{part.name}: {note}" if part.name else note)
        if part.name and len(sources) == 1 and is_run(source):
            theirs = read_run.read_params(source)[1]
            if part.name in theirs:
                params, note = _init_others(params, theirs, part.name)
                notes.append(note)
    return params, notes


def _init_part(params: Mapping, part: Part, source: str, config: Config) -> tuple[Mapping, str]:
    if isinstance(part.spec, GPT2Spec):
        return init_language_model(params, part, source, config)
    if part.whole:
        return init_teacher(params, part, source, config)
    pixels = {"mean": config.data.mean, "std": config.data.std}
    return init_video_model(params, part, source, **pixels, label_map=config.init_label_map)


def _init_others(params: Mapping, theirs: Mapping, done: str) -> tuple[Mapping, str]:
    """Initialise the parameters outside part `done` for which `theirs` has one of the same name and shape."""
    named, found = flatten(params), flatten(theirs)
    wanted = {name for name in named if not name.startswith(f"{done}/")}
    fitting = {name for name in wanted if name in found and found[name].shape == named[name].shape}
    used = {name: place_like(found[name], leaf) if name in fitting else leaf for name, leaf in named.items()}
    return nest(used), f"the other parts of the same run; new: {adapt.groups(wanted - fitting) or 'none'}"


def _get(config: Config, key: str) -> Any:
    return functools.reduce(getattr, key.split("."), config)
