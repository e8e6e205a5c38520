"""Compile a run's training step for TPU chips that are not attached; describe its memory and estimate its time.

This needs only the TPU compiler (extra `aot`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import jax
from jax.sharding import Mesh

from vidjax.aot.compiled import Compiled, Target, compile_or_need
from vidjax.aot.topology import CHIPS, topology_devices
from vidjax.config import Config, get_key, left_open, with_keys
from vidjax.data.datasets import DATASETS
from vidjax.data.mixtures import validation_data
from vidjax.data.sources.annotations import TARGET
from vidjax.errors import ConfigError
from vidjax.tasks import TASKS, build_objective
from vidjax.training.choices.memory import candidates
from vidjax.training.choices.platform import choose_by_platform
from vidjax.training.config_checks import check_config
from vidjax.training.mesh import make_mesh, smallest_rows
from vidjax.training.optim import RunLength
from vidjax.training.run_step import RunStep, build_step, loaded_shapes, mixes_pairs

_STEPS = 1000  # length of the schedule, which does not change the cost of a step


def compile_step(config: Config, topology: str, *, dump: Path | None = None) -> Compiled:
    """Compile the training step of a run: the first that fits among the steps that a run on these chips would try.

    If none fits, the result describes the last one, which needs the least memory.

    Args:
      config: the run; its data is not opened, so `data.num_classes` must be set if the data set does not state it.
      topology: for example v5e:16x16.
      dump: the folder of schedules from `llo_dump.ask`; it is emptied.

    Raises:
      ConfigError: if the configuration does not fit the topology, if data.global_batch is 0 (the batch then depends
        on the number of videos), or if the compiler is not installed.
    """
    check_config(config)
    if not config.data.global_batch:
        raise ConfigError("data.global_batch=0 depends on the number of videos; set --config.data.global_batch=N")
    target = Target(topology, mesh_for(config, topology), dump)
    least = math.inf
    for closed, step in _candidates(config, target):
        found = compile_or_need(lower_step(closed, step, target.mesh))
        if not isinstance(found, float):
            break
        least = found = min(found, least)
    return target.describe(
        found,
        clips=config.data.global_batch * config.data.clips_per_decode,
        flops=step.objective.train_flops_per_clip,
        chosen={key: get_key(closed, key) for key in left_open(config)},
    )


def largest_batch(
    config: Config, topology: str, *, tried: Compiled | None = None, dump: Path | None = None
) -> Compiled:
    """Find the step with the largest `data.global_batch` that fits, among the batches that give every chip whole rows.

    The result may be up to a sixteenth below the largest. If the configuration leaves micro-batches open, none are
    used. Memory grows about linearly with the rows per chip, so a line through two compilations gives the next batch
    to try.

    Args:
      tried: the step as configured, if it is already compiled.
      dump: as in `compile_step`.

    Raises:
      ConfigError: as in `compile_step`, and if not even the smallest batch fits.
    """
    if "train.accumulate" in left_open(config):  # with enough micro-batches, any batch would fit
        tried = tried if tried and tried.chosen["train.accumulate"] == 1 else None
        config = with_keys(config, {"train.accumulate": 1})
    config = with_keys(config, tried.chosen) if tried else config  # with other choices, memory might not grow with rows
    objective = build_objective(config, num_outputs(config), total_steps=_STEPS)
    pairs = mixes_pairs(config.data, objective)
    unit = smallest_rows(mesh_for(config, topology), objective.group, config.train.accumulate, pairs=pairs)
    unit //= math.gcd(unit, config.data.clips_per_decode)

    def attempt(units: int) -> Compiled:
        batch = dataclasses.replace(config.data, global_batch=units * unit)
        return compile_step(dataclasses.replace(config, data=batch), topology, dump=dump)

    limit = CHIPS[topology.partition(":")[0]].memory / 1e9
    steps = {tried.clips // config.data.clips_per_decode // unit: tried} if tried else {}
    while True:
        best = max((units for units, step in steps.items() if step.fits), default=0)
        over = min((units for units, step in steps.items() if not step.fits), default=math.inf)
        if over == 1:
            raise ConfigError(
                f"not even the smallest batch fits {topology}: it needs {steps[1].needed_gb:.1f} GB of a chip's "
                f"{limit:.1f}; use model.remat=full, or a larger mesh.fsdp"
            )
        if over - best <= max(1, best // 16):
            return steps[best]
        units = _next_units({units: step.needed_gb for units, step in steps.items()}, limit, best, over)
        steps[units] = attempt(units)


def _next_units(needed: dict[int, float], limit: float, best: int, over: float) -> int:
    """Return where the line through the smallest and largest try meets the limit, between `best` and `over`."""
    if not needed:
        return 1
    (first, low), (last, high) = min(needed.items()), max(needed.items())
    slope = (high - low) / (last - first) if last > first else low / first
    return int(min(max(first + (limit - low) / max(slope, 1e-3), best + 1), over - 1))


def lower_step(config: Config, step: RunStep, mesh: Mesh) -> jax.stages.Lowered:
    """Lower the training step of a configuration for the chips of the mesh."""
    with jax.set_mesh(mesh):
        batch = loaded_shapes(config, num_outputs(config), mesh)
        return step.call.trace(step.shapes, batch).lower(lowering_platforms=("tpu",))


def _candidates(config: Config, target: Target) -> Iterator[tuple[Config, RunStep]]:
    """Yield the configurations that a run on such chips would try for its open keys, with their steps."""
    classes, mesh = num_outputs(config), target.mesh

    frozen = 1 if config.optim.frozen_epochs else 0
    length = RunLength(_STEPS, _STEPS // 10, last_layer_frozen=frozen, per_epoch=_STEPS)

    def build(config: Config) -> RunStep:
        return build_step(config, build_objective(config, classes, total_steps=_STEPS), length, mesh)

    config = choose_by_platform(config, "tpu")
    with jax.set_mesh(mesh):
        yield from candidates(config, build, loaded_shapes(config, classes, mesh), int(target.chip.memory))


def mesh_for(config: Config, topology: str) -> Mesh:
    """Make the mesh of a configuration over the chips of a topology, or of several slices of it (`mesh.slices`)."""
    return make_mesh(config.mesh, topology_devices(topology, max(config.mesh.slices, 1)))


def num_outputs(config: Config) -> int:
    """Return the number of classes, or of target values, that the configuration or the data set states."""
    task = TASKS.find(config.task)
    if config.data.num_classes or not task.sized_by_data:
        return config.data.num_classes
    spec = DATASETS.find(validation_data(config.data).name)
    found = len(spec.target_names) if task.annotation == TARGET else spec.num_classes
    if found:
        return found
    raise ConfigError(f"data.name={config.data.name} has no fixed number of classes; set data.num_classes")
