"""`vidjax compile`: compile what a run does for a TPU pod without one: does it fit, what should it cost.

Needs the TPU compiler (extra `aot`), no TPU. Memory is the compiler's count, times are its estimates.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidjax.cli.terminal import print_json
from vidjax.cli.verb import Verb
from vidjax.errors import ConfigError
from vidjax.progress import progress

if TYPE_CHECKING:
    from vidjax.aot.compiled import Compiled
    from vidjax.aot.planner import Compile, Plan

ESTIMATES = (
    "Memory is the most that the compiled program holds at once. Times are the compiler's own estimate of its "
    "instructions at the chip's clock, good to a factor of two: compare variants with it, do not predict. "
)
KERNELS = (
    "A Pallas kernel has no such estimate: its time is that of its schedule, one bundle of instructions a cycle, or of "
    "moving its arrays once at the chip's bandwidth, whichever is longer. The share of the peak counts both."
)
NO_SCHEDULES = (
    "A Pallas kernel has no such estimate, and the schedule of one was not written down or has a loop whose length it "
    "does not tell, so that the time of kernels and the share of the peak are unknown."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    about = "experiment, by name or file, as for vidjax.main; --config.KEY=VALUE too"
    parser.add_argument("--config", required=True, metavar="NAME[:ARG,ARG]", help=about)
    parser.add_argument("--topology", required=True, help="chips, such as v5e:1x1, v5e:16x16, v5p:2x2x1 or v6e:8x8")
    about = "a training step, the scoring of eval.batch videos, or features of 8 clips per chip (%(default)s)"
    parser.add_argument("--what", choices=("step", "evaluate", "embed"), default="step", help=about)
    parser.add_argument("--largest-batch", action="store_true", help="the largest data.global_batch that fits, too")
    about = "the mesh, micro-batches and loops that make the recipe fastest; several compilations, minutes each"
    parser.add_argument("--plan", action="store_true", help=about)
    about = "training videos, where the data set does not say: the length of the recipe"
    parser.add_argument("--videos", type=int, default=0, metavar="N", help=about)
    about = "keep what --plan compiles in this file of JSON lines, and take from it what is there"
    parser.add_argument("--results", default="", metavar="FILE", help=about)
    parser.add_argument("--json", action="store_true", help="everything as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Compile and print; the exit code is 0 if it fits, 1 if not.

    Raises:
      ConfigError: for --largest-batch and --plan of anything but a training step, and as what compiles.
    """
    for option in ("largest_batch", "plan"):
        if getattr(arguments, option) and arguments.what != "step":
            name = option.replace("_", "-")
            raise ConfigError(f"--{name} is of a training step; leave it out with --what={arguments.what}")
    if arguments.plan:
        return _print_plans(arguments)
    step, largest = _compile(arguments)
    if arguments.json:
        print_json(as_json(step) | ({"largest": as_json(largest)} if largest else {}))
    else:
        print_compiled(step, largest)
    return 0 if step.fits else 1


def _compile(arguments: argparse.Namespace) -> tuple[Compiled, Compiled | None]:
    """What is asked for as configured, and a step with the largest batch if that is asked."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    from vidjax.main import read_config

    config = read_config([f"--config={arguments.config}", *arguments.settings])
    with progress(f"compiling for {arguments.topology}"), contextlib.ExitStack() as stack:
        from vidjax.aot import llo_dump
        from vidjax.aot.compile_forward import compile_embedding, compile_evaluation
        from vidjax.aot.compile_step import compile_step, largest_batch

        programs = {"step": compile_step, "evaluate": compile_evaluation, "embed": compile_embedding}
        dump = llo_dump.ask()
        if dump:
            stack.callback(shutil.rmtree, dump)
        step = programs[arguments.what](config, arguments.topology, dump=dump)
        if not arguments.largest_batch:
            return step, None
        return step, largest_batch(config, arguments.topology, tried=step, dump=dump)


def _print_plans(arguments: argparse.Namespace) -> int:
    """Try the plans of a recipe and print those that fit, the fastest first."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    from vidjax.main import read_config

    config, videos = read_config([f"--config={arguments.config}", *arguments.settings]), arguments.videos
    with progress(f"planning for {arguments.topology}"), contextlib.ExitStack() as stack:
        from vidjax.aot import llo_dump
        from vidjax.aot.compile_step import compile_step
        from vidjax.aot.planner import find_plans, remembered
        from vidjax.data.datasets import DATASETS

        videos = videos or DATASETS.find(config.data.name).videos.get(config.data.train_split, 0)
        if not videos:
            raise ConfigError(f"data.name={config.data.name} does not say how many videos there are; add --videos=N")
        dump = llo_dump.ask()
        if dump:
            stack.callback(shutil.rmtree, dump)

        def compile_on(topology: str) -> Compile:
            one = functools.partial(compile_step, topology=topology, dump=dump)
            return remembered(one, topology, Path(arguments.results)) if arguments.results else one

        plans = find_plans(config, arguments.topology, videos, compile_on)
    if arguments.json:
        print_json([plan_as_json(plan) for plan in plans])
    else:
        print_plans(plans)
    return 0


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """Every figure by name."""
    figures = {"settings": plan.settings, "steps": plan.steps, "step_ms": plan.step_ms, "hours": plan.hours}
    return figures | {"compiled": as_json(plan.step)}


def print_plans(plans: Sequence[Plan]) -> None:
    """Print a table of plans, a row each, and what the figures are."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    def figure(value: float | None, form: str) -> str:
        return "?" if value is None else format(value, form)

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("set beside the recipe")
    for heading in ("ms a step", "of the peak", "clips/s", "GB a chip", "hours", "chip-hours"):
        table.add_column(heading, justify="right")
    for plan in plans:
        step, ms, hours = plan.step, plan.step_ms, plan.hours
        flags = " ".join(f"--config.{key}={value}" for key, value in plan.settings.items()) or "nothing"
        peak, speed = (None, None) if ms is None else (step.ideal_ms / ms, 1e3 * step.clips / ms)
        spent = None if hours is None else hours * step.chips
        table.add_row(
            flags, figure(ms, ".1f"), figure(peak, ".0%"), figure(speed, ",.0f"), f"{step.needed_gb:.2f}",
            figure(hours, ",.1f"), figure(spent, ",.0f"),
        )  # fmt: skip
    console, step = Console(), plans[0].step
    console.print(table)
    chosen = ", ".join(f"{key}={value}" for key, value in step.chosen.items())
    console.print(
        f"{plans[0].steps:,} steps of {step.clips} clips on {step.chips} chips ({step.topology})"
        + (f"; the first plan chooses {chosen}" if chosen else "")
        + ". Communication counts where the schedule does not hide it; evaluation, checkpoints and waiting for videos "
        f"do not. {ESTIMATES}{KERNELS}",
        highlight=False,
    )


def as_json(step: Compiled) -> dict[str, Any]:
    """Every figure by name."""
    return dataclasses.asdict(step) | {"estimated_mfu": step.estimated_mfu}


def print_compiled(step: Compiled, largest: Compiled | None) -> None:
    """Print what a step needs, and the largest batch if it was asked for."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    def gigabytes(value: float | None) -> str:
        return "?" if value is None else f"{value:.2f} GB"

    mesh = " x ".join(f"{axis} {size}" for axis, size in step.mesh.items())
    rows = {
        "clips": f"{step.clips} on {step.chips} chips ({step.topology}; {mesh})",
        "fits": "yes" if step.fits else f"no: it needs {gigabytes(step.needed_gb)} a chip",
    }
    if step.chosen:
        rows["chosen"] = ", ".join(f"{key}={value}" for key, value in step.chosen.items())
    if step.fits:
        held, state = gigabytes(step.needed_gb), gigabytes(step.argument_gb)
        rows["memory a chip"] = f"{held}, of which {state} are what goes in"
        rows["estimated"] = f"{step.estimated_ms:.1f} ms" + (" without kernels" if step.kernels else "")
        if step.kernels:
            time = "unknown time" if step.kernel_ms is None else f"{step.kernel_ms:.1f} ms"
            rows["kernels"] = f"{time}, {step.kernels} calls of Pallas kernels"
        if step.estimated_mfu:
            rows["of the peak"] = f"{step.estimated_mfu:.0%}"
    rows["ideal"] = f"{step.ideal_ms:.1f} ms at the peak; {step.flops_per_clip / 1e9:.0f} GFLOP a clip"
    for kind, found in step.collectives.items():
        rows[kind] = f"{found.calls} calls, {found.bytes / 1e6:.1f} MB a chip"
    if step.communication_ms and step.waited_ms is not None:
        hidden = step.communication_ms - step.waited_ms
        rows["communication"] = f"{step.communication_ms:.1f} ms, of which {hidden:.1f} beside other work"
    if largest:
        rows["largest batch"] = f"{largest.clips} clips, {largest.needed_gb:.2f} GB a chip"
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    for name, value in rows.items():
        table.add_row(name, value)
    console = Console()
    console.print(table)
    about = (NO_SCHEDULES if step.kernel_ms is None else KERNELS) if step.kernels else ""
    console.print(ESTIMATES + about, highlight=False)


VERB = Verb(
    __doc__, add_arguments, run, "vidjax compile --config=videomae_k400:base --topology=v5e:16x16", takes_config=True
)
