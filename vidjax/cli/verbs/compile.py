"""`vidjax compile`: compile a run for a TPU pod without having one, to see whether it fits and what it should cost.

This needs the TPU compiler (extra `aot`), but no TPU. Memory and times are the compiler's estimates.
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
    "Memory is the peak of the compiled program. Times are the compiler's own estimate of the program's "
    "instructions at the chip's clock, good to a factor of two: use them to compare variants, not to predict. "
)
KERNELS = (
    "The compiler gives no estimate for Pallas kernels. A kernel's time is that of its schedule (one bundle of "
    "instructions per cycle) or of moving its arrays once at the chip's bandwidth, whichever is longer. The share of "
    "the peak includes the kernels."
)
NO_SCHEDULES = (
    "The compiler gives no estimate for Pallas kernels, and at least one kernel's schedule was not written or has a "
    "loop of unknown length, so the kernels' time and the share of the peak are unknown."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    about = "experiment, by name or file, as for vidjax.main; --config.KEY=VALUE works too"
    parser.add_argument("--config", required=True, metavar="NAME[:ARG,ARG]", help=about)
    parser.add_argument("--topology", required=True, help="chips, such as v5e:1x1, v5e:16x16, v5p:2x2x1 or v6e:8x8")
    about = "compile a training step, the scoring of eval.batch videos, or features of 8 clips per chip (%(default)s)"
    parser.add_argument("--what", choices=("step", "evaluate", "embed"), default="step", help=about)
    parser.add_argument("--largest-batch", action="store_true", help="find the largest data.global_batch that fits")
    about = "find the mesh, micro-batches and loops that make the recipe fastest; several compilations, minutes each"
    parser.add_argument("--plan", action="store_true", help=about)
    about = "number of training videos, which sets the length of the recipe; needed if the data set does not state it"
    parser.add_argument("--videos", type=int, default=0, metavar="N", help=about)
    about = "keep what --plan compiles in this JSON-lines file, and reuse what it already has"
    parser.add_argument("--results", default="", metavar="FILE", help=about)
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Compile and print; the exit code is 0 if it fits, 1 if not.

    Raises:
      ConfigError: for --largest-batch or --plan with anything except a training step, for options of --plan without it,
        or from the compile functions.
    """
    if not arguments.plan and (arguments.videos or arguments.results):
        raise ConfigError("--videos and --results are for --plan; add it, or leave them out")
    for option in ("largest_batch", "plan"):
        if getattr(arguments, option) and arguments.what != "step":
            name = option.replace("_", "-")
            raise ConfigError(f"--{name} works for training steps only; leave it out with --what={arguments.what}")
    if arguments.plan:
        return _print_plans(arguments)
    step, largest = _compile(arguments)
    if arguments.json:
        print_json(as_json(step) | ({"largest": as_json(largest)} if largest else {}))
    else:
        print_compiled(step, largest)
    return 0 if step.fits else 1


def _compile(arguments: argparse.Namespace) -> tuple[Compiled, Compiled | None]:
    """Compile the requested program as configured and, if requested, a step with the largest batch that fits."""
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
    """Try plans for a recipe and print those that fit, fastest first."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    from vidjax.main import read_config

    config, videos = read_config([f"--config={arguments.config}", *arguments.settings]), arguments.videos
    with progress(f"planning for {arguments.topology}"), contextlib.ExitStack() as stack:
        from vidjax.aot import llo_dump
        from vidjax.aot.compile_step import compile_step
        from vidjax.aot.planner import find_plans, remembered
        from vidjax.data.mixtures import published_videos

        videos = videos or published_videos(config.data)
        if not videos and not config.train.steps:
            which = "a source of data.mixture" if config.data.mixture else f"data.name={config.data.name}"
            raise ConfigError(f"{which} does not state its number of videos; add --videos=N")
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
    """Return every figure of a plan by name."""
    figures = {"settings": plan.settings, "steps": plan.steps, "step_ms": plan.step_ms, "hours": plan.hours}
    return figures | {"compiled": as_json(plan.step)}


def print_plans(plans: Sequence[Plan]) -> None:
    """Print a table with one row per plan, and the meaning of its figures."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    def figure(value: float | None, form: str) -> str:
        return "?" if value is None else format(value, form)

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("settings added to the recipe")
    for heading in ("ms per step", "of the peak", "clips/s", "GB per chip", "hours", "chip-hours"):
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
        + ". Times include communication that the schedule does not hide, but not evaluation, checkpoints or waiting "
        f"for videos. {ESTIMATES}{KERNELS}",
        highlight=False,
    )


def as_json(step: Compiled) -> dict[str, Any]:
    """Return every figure of a compiled program by name."""
    return dataclasses.asdict(step) | {"estimated_mfu": step.estimated_mfu}


def print_compiled(step: Compiled, largest: Compiled | None) -> None:
    """Print what a step needs, and the largest batch if it was requested."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    def gigabytes(value: float | None) -> str:
        return "?" if value is None else f"{value:.2f} GB"

    mesh = " x ".join(f"{axis} {size}" for axis, size in step.mesh.items())
    rows = {
        "clips": f"{step.clips} on {step.chips} chips ({step.topology}; {mesh})",
        "fits": "yes" if step.fits else f"no: it needs {gigabytes(step.needed_gb)} per chip",
    }
    if step.chosen:
        rows["chosen"] = ", ".join(f"{key}={value}" for key, value in step.chosen.items())
    if step.fits:
        held, state = gigabytes(step.needed_gb), gigabytes(step.argument_gb)
        rows["memory per chip"] = f"{held}, of which {state} are its inputs"
        rows["estimated"] = f"{step.estimated_ms:.1f} ms" + (" without kernels" if step.kernels else "")
        if step.kernels:
            time = "unknown time" if step.kernel_ms is None else f"{step.kernel_ms:.1f} ms"
            rows["kernels"] = f"{time}, {step.kernels} calls of Pallas kernels"
        if step.estimated_mfu:
            rows["of the peak"] = f"{step.estimated_mfu:.0%}"
    rows["ideal"] = f"{step.ideal_ms:.1f} ms at the peak; {step.flops_per_clip / 1e9:.0f} GFLOP per clip"
    for kind, found in step.collectives.items():
        rows[kind] = f"{found.calls} calls, {found.bytes / 1e6:.1f} MB per chip"
    if step.communication_ms and step.waited_ms is not None:
        hidden = step.communication_ms - step.waited_ms
        rows["communication"] = f"{step.communication_ms:.1f} ms, of which {hidden:.1f} overlap other work"
    if largest:
        rows["largest batch"] = f"{largest.clips} clips, {largest.needed_gb:.2f} GB per chip"
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
