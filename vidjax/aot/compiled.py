"""The TPU compiler's description of a program for chips that are not attached: memory and estimated time.

Memory is that of the compiled program, and times are the compiler's own estimates (see `vidjax.aot.hlo`), which cover
neither Pallas kernels nor communication. A kernel takes as long as its schedule (`vidjax.aot.bundles`), or as moving
its arrays once at the chip's bandwidth, whichever is longer. Communication takes its bytes divided by the bandwidth of
the links, less the part that other work hides (`vidjax.aot.overlap`).
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from vidjax.aot import bundles, llo_dump, overlap
from vidjax.aot.hlo import Collective, Kernel, Program
from vidjax.aot.topology import CHIPS, Chip
from vidjax.errors import ConfigError
from vidjax.training.choices.memory import OUT_OF_MEMORY


@dataclasses.dataclass(frozen=True)
class Compiled:
    """The compiler's description of one program; bytes and times are per chip.

    Attributes:
      topology: for example v5e:16x16.
      chips: number of devices: chips or, on v4, cores.
      mesh: sizes of data, fsdp and tensor.
      chosen: keys that the configuration leaves open, with the values that a run on these chips would choose.
      clips: clips per call, over all chips.
      fits: whether the program fits in a chip's memory.
      needed_gb: the most memory that the program holds at once; if it does not fit, the memory that it would need.
      argument_gb: the part of needed_gb for parameters, optimiser state and batch; None if the program does not fit.
      flops_per_clip: 2 x MACs of all passes, from the architecture.
      ideal_ms: time of a call at the chip's peak.
      estimated_ms: the compiler's estimate, without kernels; None if the program does not fit.
      kernel_ms: time of the Pallas kernels; None if the program does not fit, or if any kernel's schedule is missing or
        does not give the kernel's time.
      kernels: number of calls of Pallas kernels.
      collectives: communication by kind.
      communication_ms: time of all collectives, one after another; None if the program does not fit.
      waited_ms: the part of communication_ms that the schedule does not hide; None if the program does not fit.
    """

    topology: str
    chips: int
    mesh: dict[str, int]
    chosen: dict[str, Any]
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
    communication_ms: float | None
    waited_ms: float | None

    @property
    def call_ms(self) -> float | None:
        """Time of a call with kernels and waits for communication; None if any part of it is unknown."""
        if self.estimated_ms is None or self.kernel_ms is None or self.waited_ms is None:
            return None
        return self.estimated_ms + self.kernel_ms + self.waited_ms

    @property
    def estimated_mfu(self) -> float | None:
        """Share of the chip's peak; None if `call_ms` is unknown."""
        return None if self.call_ms is None else self.ideal_ms / self.call_ms


@dataclasses.dataclass(frozen=True)
class Target:
    """The chips for which a program is compiled.

    Attributes:
      topology: for example v5e:16x16.
      mesh: a mesh of the topology's devices.
      dump: the folder of schedules from `llo_dump.ask`; it is emptied.
    """

    topology: str
    mesh: Mesh
    dump: Path | None = None

    @property
    def chip(self) -> Chip:
        """One device of the topology."""
        return CHIPS[self.topology.partition(":")[0]]

    def describe(
        self, found: jax.stages.Compiled | float, *, clips: int, flops: float, chosen: dict[str, Any]
    ) -> Compiled:
        """Describe a compiled program, or one that did not fit.

        Args:
          found: the program, or the GB that it would need.
          clips, flops, chosen: `clips`, `flops_per_clip` and `chosen` of the result.

        Raises:
          ConfigError: if the compiler does not report the program's memory or instructions.
        """
        result = functools.partial(
            Compiled,
            topology=self.topology,
            chips=self.mesh.size,
            mesh=dict(self.mesh.shape),
            chosen=chosen,
            clips=clips,
            flops_per_clip=flops,
            ideal_ms=1e3 * flops * clips / (self.chip.peak * self.mesh.size),
        )
        if not isinstance(found, jax.stages.Compiled):
            unknown = dict.fromkeys(("argument_gb", "estimated_ms", "kernel_ms", "communication_ms", "waited_ms"))
            return result(fits=False, needed_gb=found, **unknown, kernels=0, collectives={})
        memory, text = found.memory_analysis(), found.as_text()
        if memory is None or text is None:
            raise ConfigError(f"the compiler for {self.topology} does not report the program's memory or instructions")
        program = Program(text)
        kernels = program.kernels
        seconds = _kernel_seconds(kernels, self.dump, self.chip)
        sent = overlap.communication(program, self.chip, seconds)
        return result(
            fits=True,
            needed_gb=memory.peak_memory_in_bytes / 1e9,
            argument_gb=memory.argument_size_in_bytes / 1e9,
            estimated_ms=1e3 * program.estimated_cycles / self.chip.clock,
            kernel_ms=_kernel_ms(kernels, seconds),
            kernels=sum(kernel.calls for kernel in kernels.values()),
            collectives=program.collectives,
            communication_ms=1e3 * sent.alone,
            waited_ms=1e3 * sent.waited,
        )


def compile_or_need(lowered: jax.stages.Lowered) -> jax.stages.Compiled | float:
    """Compile a program or, if it does not fit, return the GB that it would need; nan if the compiler does not say."""
    try:
        return lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        found = _needed_gb(str(error))
        if found is None:
            raise
        return found


def _kernel_seconds(kernels: dict[str, Kernel], dump: Path | None, chip: Chip) -> dict[str, float]:
    """Return the seconds per call of each kernel whose schedule is written and gives its time."""
    if not kernels or dump is None:
        return {}
    cycles = bundles.kernel_cycles(dump, kernels)
    llo_dump.empty(dump)
    found = ((name, count, kernels[name].bytes) for name, count in cycles.items())
    return {name: max(count / chip.clock, size / chip.bandwidth) for name, count, size in found if count is not None}


def _kernel_ms(kernels: dict[str, Kernel], seconds: dict[str, float]) -> float | None:
    """Return the time of all calls together; None if any is unknown."""
    if kernels.keys() - seconds.keys():
        return None
    return 1e3 * sum(kernel.calls * seconds[name] for name, kernel in kernels.items())


def _needed_gb(message: str) -> float | None:
    """Return the memory that a program would need, or only its temporaries; None if the message is about another error.

    The result is nan if the message does not state the memory.
    """
    if OUT_OF_MEMORY not in message:
        return None
    used = re.search(r"Used ([\d.]+)([MG]) of", message) or re.search(r"temporaries \(([\d.]+)([MG])\)", message)
    return float(used[1]) * {"M": 2**20, "G": 2**30}[used[2]] / 1e9 if used else math.nan
