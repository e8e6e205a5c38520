"""Compile a run's training step for TPU chips that are not there, and say whether it fits and what it should cost.

Only the TPU compiler is needed (extra `aot`). Memory is that of the compiled program; times are the compiler's own
estimates (see `vidjax.aot.hlo`). A Pallas kernel, which has none, takes the larger of its schedule
(`vidjax.aot.bundles`) and of moving its arrays once at the chip's bandwidth.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from pathlib import Path

import jax
from jax.sharding import Mesh

from vidjax.aot import bundles, llo_dump
from vidjax.aot.hlo import Collective, Kernel, Program
from vidjax.aot.topology import CHIPS, Chip, topology_devices
from vidjax.config import Config, left_open, with_keys
from vidjax.data.datasets import DATASETS
from vidjax.data.sources.annotations import TARGET
from vidjax.errors import ConfigError
from vidjax.objectives import Objective
from vidjax.tasks import TASKS, build_objective
from vidjax.training.config_checks import check_config
from vidjax.training.mesh import make_mesh, smallest_rows
from vidjax.training.optim import RunLength
from vidjax.training.run_step import build_step, loaded_shapes

_STEPS = 1000  # of the schedule, which costs the same for any number


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What the compiler says of one training step. Bytes, FLOPs and times are those of one chip unless they say clips.

    Attributes:
      topology: for example v5e:16x16; chips: how many; mesh: sizes of data, fsdp and tensor.
      clips: of a step, over all chips.
      fits: whether the program fits in the memory of a chip.
      needed_gb: the most that the program holds at once, or what the compiler says when it gives up.
      argument_gb: parameters, optimiser state and batch among them; None if it does not fit.
      flops_per_clip: 2 x MACs of the forward and backward pass, from the architecture.
      ideal_ms: of a step at the peak; estimated_ms: by the compiler, without kernels, None if it does not fit.
      kernel_ms: of the Pallas kernels, None where the schedule of one is not written or does not tell its time.
      kernels: calls of Pallas kernels a step.
      collectives: by kind.
    """

    topology: str
    chips: int
    mesh: dict[str, int]
    clips: int
    fits: bool
    needed_gb: float
    argument_gb: float | None
    flops_per_clip: float
    ideal_ms: float
    estimated_ms: float | None
    kernel_ms: float | None
    kernels: int
    collectives: dict[str, Collective]

    @property
    def estimated_mfu(self) -> float | None:
        """Share of the peak, kernels counted; None where a kernel's time is unknown, or when it does not fit."""
        if self.estimated_ms is None or self.kernel_ms is None:
            return None
        return self.ideal_ms / (self.estimated_ms + self.kernel_ms)


def compile_step(config: Config, topology: str, *, dump: Path | None = None) -> Compiled:
    """Compile the training step of a run.

    Args:
      config: the run; its data is not opened, so `data.num_classes` must be set where the data set does not say.
      topology: for example v5e:16x16.
      dump: where the compiler writes schedules, as `schedules.ask` says; it is emptied.

    Raises:
      ConfigError: when the configuration does not fit the topology, or the compiler is not installed.
    """
    check_config(config)
    devices = topology_devices(topology)
    mesh = make_mesh(config.mesh, devices)
    config = _closed(config)
    data = config.data
    objective = build_objective(config, _num_classes(config), total_steps=_STEPS)
    chip, clips = CHIPS[topology.partition(":")[0]], data.global_batch * data.clips_per_decode
    flops = objective.train_flops_per_clip
    result = functools.partial(
        Compiled,
        topology=topology,
        chips=len(devices),
        mesh=dict(mesh.shape),
        clips=clips,
        flops_per_clip=flops,
        ideal_ms=1e3 * flops * clips / (chip.peak * len(devices)),
    )
    try:
        compiled = lower_step(config, objective, mesh).compile()
    except jax.errors.JaxRuntimeError as error:
        needed = _needed_gb(str(error))
        if needed is None:
            raise
        return result(
            fits=False,
            needed_gb=needed,
            argument_gb=None,
            estimated_ms=None,
            kernel_ms=None,
            kernels=0,
            collectives={},
        )
    memory, text = compiled.memory_analysis(), compiled.as_text()
    if memory is None or text is None:
        raise ConfigError(f"the compiler for {topology} says nothing of the program's memory or instructions")
    program = Program(text)
    kernels = program.kernels
    return result(
        fits=True,
        needed_gb=memory.peak_memory_in_bytes / 1e9,
        argument_gb=memory.argument_size_in_bytes / 1e9,
        estimated_ms=1e3 * program.estimated_cycles / chip.clock,
        kernel_ms=_kernel_ms(kernels, dump, chip),
        kernels=sum(kernel.calls for kernel in kernels.values()),
        collectives=program.collectives,
    )


def largest_batch(
    config: Config, topology: str, *, tried: Compiled | None = None, dump: Path | None = None
) -> Compiled:
    """The step with the largest `data.global_batch` that fits, among those that give every chip whole rows.

    Memory grows about linearly with the rows of a chip, so a line through two compilations names the next to try.

    Args:
      tried: the step as configured, if it is compiled already.
      dump: as of `compile_step`.

    Raises:
      ConfigError: as `compile_step`, and when not even the smallest batch fits.
    """
    group = build_objective(config, _num_classes(config), total_steps=_STEPS).group
    unit = smallest_rows(make_mesh(config.mesh, topology_devices(topology)), group, config.train.accumulate)
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
                f"not even one row a chip fits {topology}: {steps[1].needed_gb:.1f} GB of {limit:.1f}; use "
                "model.remat=full, or a larger mesh.fsdp"
            )
        if over - best <= max(1, best // 16):
            return steps[best]
        units = _next_units({units: step.needed_gb for units, step in steps.items()}, limit, best, over)
        steps[units] = attempt(units)


def _next_units(needed: dict[int, float], limit: float, best: int, over: float) -> int:
    """Where the line through the smallest and largest try meets the limit, between what fits and what does not."""
    if not needed:
        return 1
    (first, low), (last, high) = min(needed.items()), max(needed.items())
    slope = (high - low) / (last - first) if last > first else low / first
    return int(min(max(first + (limit - low) / max(slope, 1e-3), best + 1), over - 1))


def lower_step(config: Config, objective: Objective, mesh: Mesh) -> jax.stages.Lowered:
    """The training step, lowered for the chips of the mesh."""
    length = RunLength(_STEPS, _STEPS // 10, last_layer_frozen=1 if config.optim.frozen_epochs else 0, per_epoch=_STEPS)
    with jax.set_mesh(mesh):
        step = build_step(config, objective, length, mesh)
        batch = loaded_shapes(config, _num_classes(config), mesh)
        return step.call.trace(step.shapes, batch).lower(lowering_platforms=("tpu",))


def _kernel_ms(kernels: dict[str, Kernel], dump: Path | None, chip: Chip) -> float | None:
    """The time of all calls together; None where a schedule is missing or does not tell."""
    if not kernels or dump is None:
        return None if kernels else 0.0
    cycles = bundles.kernel_cycles(dump, kernels)
    llo_dump.empty(dump)
    total = 0.0
    for name, kernel in kernels.items():
        scheduled = cycles[name]
        if scheduled is None:
            return None
        total += kernel.calls * max(scheduled / chip.clock, kernel.bytes / chip.bandwidth)
    return 1e3 * total


def _closed(config: Config) -> Config:
    """The configuration as for a TPU, where it is left open: bfloat16, one batch, nothing recomputed.

    Raises:
      ConfigError: when the batch is left open, which the number of videos decides.
    """
    if not config.data.global_batch:
        raise ConfigError("data.global_batch=0 is chosen by the number of videos; set --config.data.global_batch=N")
    closed = {"model.dtype": "bfloat16", "model.remat": "none", "train.accumulate": 1}
    return with_keys(config, {key: closed[key] for key in left_open(config) if key in closed})


def _num_classes(config: Config) -> int:
    """The number of classes, or of the numbers of a target, that the configuration or the data set states."""
    task = TASKS.find(config.task)
    if config.data.num_classes or not task.sized_by_data:
        return config.data.num_classes
    spec = DATASETS.find(config.data.name)
    found = len(spec.target_names) if task.annotation == TARGET else spec.num_classes
    if found:
        return found
    raise ConfigError(f"data.name={config.data.name} does not say how many classes there are; set data.num_classes")


def _needed_gb(message: str) -> float | None:
    """The memory that a program would need, or its temporaries alone, if the compiler gave up for lack of it."""
    if "RESOURCE_EXHAUSTED" not in message:
        return None
    used = re.search(r"Used ([\d.]+)([MG]) of", message) or re.search(r"temporaries \(([\d.]+)([MG])\)", message)
    return float(used[1]) * {"M": 2**20, "G": 2**30}[used[2]] / 1e9 if used else math.nan
