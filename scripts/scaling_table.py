"""Estimate weak scaling: the same work per chip on more and more chips, from the compiled TPU step.

    python scripts/scaling_table.py --config=configs/videomae_k400.py:base --rows=32 [--config.KEY=VALUE ...]

The script compiles the training step for one chip of v5e. For 8, 64 and 256 chips, and for two slices of 256, it
compiles the step twice: with parameters sharded over 8 chips (fsdp), which is the default, and data-parallel (data). It
needs the compiler (extra `aot`), but no TPU.

The time of a step is the compiler's estimate, plus the time of its kernels (by their schedules or by the bytes that
they move, whichever is longer), plus the waits for communication that `vidjax.aot.overlap` finds in the compiled
schedule. Kernels are the same on any number of chips, so
their time is that on one chip. They are assumed to hide no communication. With t the time of the step on one chip,

    efficiency                       t / step
    efficiency, nothing overlapped   t / (step - waited + communication)

All of this is an estimate; nothing ran on a TPU. The assumptions on links are in `vidjax.aot.topology`.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from vidjax.aot.compile_step import compile_step
from vidjax.aot.compiled import Compiled
from vidjax.aot.planner import remembered
from vidjax.config import Config, MeshConfig
from vidjax.errors import ConfigError, UserError
from vidjax.main import read_config
from vidjax.training.mesh import PARAMETERS_OVER

CHIPS = {"v5e:2x4": 8, "v5e:8x8": 64, "v5e:16x16": 256}
PARALLEL = {"fsdp": PARAMETERS_OVER, "data": 1}  # over how many chips parameters are sharded
REMEDY = "use fewer --rows, or --config.model.remat=full"


def meshes(topologies: list[str], parallel: list[str]) -> Iterator[tuple[str, str, MeshConfig]]:
    """Yield a topology, a name and a mesh for each row of the table."""
    for topology in topologies:
        for slices in (1, 2) if topology == list(CHIPS)[-1] else (1,):
            for name in parallel:
                yield topology, "2 slices, " * (slices > 1) + name, MeshConfig(fsdp=PARALLEL[name], slices=slices)


def one_chip(args, base: Config, settings: list[str]) -> dict:
    """Return the answer of `vidjax compile` for one chip, from a process that writes schedules and takes minutes."""
    batch = args.rows // base.data.clips_per_decode
    command = [
        sys.executable, "-m", "vidjax.cli", "compile", f"--config={args.config}", "--topology=v5e:1x1", "--json",
        *settings, f"--config.data.global_batch={batch}",
    ]  # fmt: skip
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if not found.stdout:
        raise ConfigError("compiling for one chip failed; see above")
    step = json.loads(found.stdout)
    if not step["fits"]:
        raise ConfigError(f"{step['needed_gb']:.1f} GB are more than one chip has; {REMEDY}")
    if step["kernel_ms"] is None:
        raise ConfigError(
            "a kernel's schedule is missing or does not give its time; repeat the command with --one-chip "
            f"{step['estimated_ms']:.1f} MS, where MS is the time of all kernels"
        )
    return step


def as_row(name: str, step: Compiled, kernels: float, alone: float) -> tuple[str, ...]:
    """Return a line of the table, given the times in ms of the kernels and of the step on one chip (`alone`)."""
    work = step.estimated_ms + kernels
    sent = ", ".join(f"{kind} {found.bytes / 1e6:.0f}" for kind, found in step.collectives.items()) or "none"
    times = (step.estimated_ms, step.communication_ms, step.waited_ms)
    shares = (alone / (work + time) for time in (step.communication_ms, step.waited_ms))
    return (
        str(step.chips), name, f"{step.needed_gb:.2f}", sent, *(f"{time:.1f}" for time in times),
        *(f"{share:.1%}" for share in shares),
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True, metavar="FILE[:ARG,ARG]")
    parser.add_argument("--rows", type=int, default=32, help="clips per chip")
    parser.add_argument("--topologies", nargs="+", choices=CHIPS, default=list(CHIPS), help="in addition to one chip")
    parser.add_argument("--parallel", nargs="+", choices=PARALLEL, default=list(PARALLEL), help="ways to compile")
    parser.add_argument("--results", type=Path, help="file of JSON lines that keeps compiled steps for later calls")
    parser.add_argument("--one-chip", type=float, nargs=2, metavar="MS", help="one chip's estimate and kernel time")
    args, settings = parser.parse_known_args()

    base = read_config([f"--config={args.config}", *settings])
    if args.one_chip:
        estimate, kernels = args.one_chip
    else:
        one = one_chip(args, base, settings)
        estimate, kernels = one["estimated_ms"], one["kernel_ms"]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    headings = ("chips", "parallel", "GB per chip", "collectives, MB per chip", "estimated", "sent", "waited for")
    for heading in (*headings, "nothing overlapped", "efficiency"):
        table.add_column(heading, justify="left" if heading in headings[1:4:2] else "right")
    for topology, name, mesh in meshes(args.topologies, args.parallel):
        chips = CHIPS[topology] * max(mesh.slices, 1)
        data = dataclasses.replace(base.data, global_batch=args.rows * chips // base.data.clips_per_decode)
        compile_once = functools.partial(compile_step, topology=topology)
        if args.results:
            compile_once = remembered(compile_once, topology, args.results)
        step = compile_once(dataclasses.replace(base, data=data, mesh=mesh))
        if not step.fits:
            raise ConfigError(f"{step.needed_gb:.1f} GB per chip are more than {topology} has; {REMEDY}")
        table.add_row(*as_row(name, step, kernels, estimate + kernels))
        print(f"{topology} {name} compiled", file=sys.stderr)
    console = Console()
    console.print(table)
    console.print(
        f"{args.rows} clips per chip; one chip: {estimate:.1f} ms + {kernels:.1f} ms in kernels.", highlight=False
    )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"vidjax: {error}")
