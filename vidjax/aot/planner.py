"""Find the mesh, rematerialisation and micro-batches that make a recipe fastest on TPU chips that are not attached.

Each try is a compilation that takes minutes. Keys that a recipe leaves open, such as micro-batches, are chosen as a run
would choose them (`compile_step`), so that few tries are needed. Sharding parameters over all chips needs more
communication and is tried only if memory is short. Running all layers without a loop is tried only if a run would
choose a loop, as for deep models.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vidjax.aot.compiled import Compiled
from vidjax.aot.hlo import Collective
from vidjax.config import Config, get_key, with_keys
from vidjax.errors import ConfigError
from vidjax.training.choices.platform import encoder_depth
from vidjax.training.plan import num_train_steps

Compile = Callable[[Config], Compiled]
# Slices from small to large, by kind of chip.
_FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_SOLID = ("1x1x1", "2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8")
SLICES = {"v4": _SOLID, "v5e": _FLAT, "v5p": _SOLID, "v6e": _FLAT}


@dataclasses.dataclass(frozen=True)
class Plan:
    """A way to run a recipe on a slice.

    Attributes:
      settings: configuration keys to set in addition to the recipe.
      step: the compiled step.
      steps: number of steps of the whole recipe.
    """

    settings: dict[str, Any]
    step: Compiled
    steps: int

    @property
    def step_ms(self) -> float | None:
        """Milliseconds per step; None if unknown."""
        return self.step.call_ms

    @property
    def hours(self) -> float | None:
        """Hours for all steps, without evaluation, checkpoints and waiting for videos; None if unknown."""
        return None if self.step_ms is None else self.steps * self.step_ms / 3.6e6


def find_plans(config: Config, topology: str, num_videos: int, compile_on: Callable[[str], Compile]) -> list[Plan]:
    """Return the plans that fit a slice, fastest first; plans of unknown time come last.

    Args:
      config: the recipe; keys that it sets to values other than their defaults do not change.
      num_videos: number of videos in the training split.
      compile_on: maps a topology to the function that compiles a step for it.

    Raises:
      ConfigError: if nothing fits; the message names the smallest slice that would fit, or a remedy.
    """
    fitting = [(settings, step) for settings, step in _tries(config, compile_on(topology)) if step.fits]
    if fitting:
        steps = num_train_steps(config, num_videos)
        plans = [Plan(settings, step, steps) for settings, step in fitting]
        return sorted(plans, key=lambda plan: math.inf if plan.step_ms is None else plan.step_ms)
    raise ConfigError(
        f"no plan for {config.model.name} with data.global_batch={config.data.global_batch} fits {topology}; "
        f"{_smallest_slice(config, topology, compile_on)}"
    )


def remembered(compile_step: Compile, topology: str, path: Path) -> Compile:
    """Wrap `compile_step` so that its results are kept in a file of JSON lines and are not compiled again."""
    known = {}
    if path.is_file():
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            known[entry["topology"], json.dumps(entry["config"], sort_keys=True)] = entry["step"]

    def compile_once(config: Config) -> Compiled:
        values = dataclasses.asdict(config)
        name = topology, json.dumps(values, sort_keys=True)
        if name not in known:
            step = compile_step(config)
            known[name] = dataclasses.asdict(step)
            with path.open("a") as file:
                file.write(json.dumps({"topology": topology, "config": values, "step": known[name]}) + "\n")
        fields = known[name]
        collectives = {kind: Collective(**found) for kind, found in fields["collectives"].items()}
        return Compiled(**fields | {"collectives": collectives})

    return compile_once


def _tries(config: Config, compile_step: Compile) -> Iterator[tuple[dict[str, Any], Compiled]]:
    """Yield the settings worth trying, with their compiled steps."""
    compile_with = functools.cache(lambda pairs: compile_step(with_keys(config, dict(pairs))))

    def attempt(settings: dict[str, Any]) -> Compiled:
        return compile_with(tuple(settings.items()))

    whole = attempt({})
    yield {}, whole
    depth, least = encoder_depth(config), {}
    divided = config.mesh.fsdp or whole.mesh["fsdp"] == whole.chips
    if not divided and _short_of_memory(config, whole, depth):
        least = {"mesh.fsdp": whole.chips}
        yield least, attempt(least)
    fitting = [settings for settings in ({}, least) if attempt(settings).fits]
    if fitting and config.model.unroll == 0 and attempt(fitting[-1]).chosen.get("model.unroll", depth) < depth:
        settings = fitting[-1] | {"model.unroll": depth}
        yield settings, attempt(settings)


def _short_of_memory(config: Config, step: Compiled, depth: int) -> bool:
    """Return whether a step does not fit, or saves memory at the cost of time.

    Sharding parameters over more chips could avoid either. In a loop over a deep stack, layers are recomputed for
    another reason (see `vidjax.training.choices.platform`).
    """
    if not step.fits or step.chosen.get("train.accumulate", 1) > 1:
        return True
    remat, unroll = (step.chosen.get(key, get_key(config, key)) for key in ("model.remat", "model.unroll"))
    return remat not in ("", "none") and unroll >= depth


def _smallest_slice(config: Config, topology: str, compile_on: Callable[[str], Compile]) -> str:
    """Name the smallest larger slice on which the step fits with parameters sharded over all chips."""
    chip, _, shape = topology.partition(":")
    slices = SLICES[chip]
    start = slices.index(shape) + 1 if shape in slices else 0
    for larger in slices[start:]:
        chips = math.prod(map(int, larger.split("x")))
        if chips <= math.prod(map(int, shape.split("x"))):
            continue
        multiple = chips // math.gcd(chips, config.data.clips_per_decode)
        if config.data.global_batch % multiple:
            return (
                f"the next larger slice, {chip}:{larger}, was not tried, because its {chips} chips cannot share the "
                f"batch evenly; use a smaller data.global_batch, or a multiple of {multiple}"
            )
        if compile_on(f"{chip}:{larger}")(with_keys(config, {"mesh.fsdp": chips})).fits:
            return f"the smallest slice that the step fits is {chip}:{larger}, with --config.mesh.fsdp={chips}"
    return f"the step fits no larger slice of {chip} either; use a smaller data.global_batch"
