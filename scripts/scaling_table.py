"""Weak scaling on paper: the same work a chip on more and more chips, by what the TPU compiler makes of the step.

    python scripts/scaling_table.py --config=configs/videomae_k400.py:base --rows=32 [--config.KEY=VALUE ...] [--json]

Compiles the training step for 1, 8, 64 and 256 chips of v5e, data-parallel and with parameters divided (fsdp), and
reads the collectives from the program. Needs the compiler (extra `aot`), no TPU. With t the step's time on one chip, by
the compiler's estimate and the schedules of its kernels, and communication as `vidjax.aot.collectives` has it,

    efficiency, nothing overlapped        t / (t + communication)
    efficiency, all overlapped that can   t / max(t, communication)

The link sends 100 GB/s: half of v5e's published 1600 Gbit/s a chip, for one direction. All of this is an estimate;
nothing ran on a TPU.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys

from rich import box
from rich.console import Console
from rich.table import Table

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from vidjax.aot.collectives import communication_ms
from vidjax.aot.compile_step import compile_step
from vidjax.config import MeshConfig
from vidjax.errors import ConfigError, UserError
from vidjax.main import read_config

TOPOLOGIES = {"v5e:2x4": 8, "v5e:8x8": 64, "v5e:16x16": 256}
REMEDY = "use fewer --rows, or --config.model.remat=full"


def one_chip(args, base, settings: list[str]) -> dict:
    """What `vidjax compile` says of one chip; in its own process, as it writes down schedules, which takes minutes."""
    batch = args.rows // base.data.clips_per_decode
    command = [
        sys.executable, "-m", "vidjax.cli", "compile", f"--config={args.config}", "--topology=v5e:1x1", "--json",
        *settings, f"--config.data.global_batch={batch}",
    ]  # fmt: skip
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if not found.stdout:
        raise ConfigError("one chip could not be compiled for, as said above")
    step = json.loads(found.stdout)
    if not step["fits"]:
        raise ConfigError(f"{step['needed_gb']:.1f} GB do not fit one chip; {REMEDY}")
    return step


def as_row(chips: int, parallel: str, memory: float, megabytes: dict, sent: float, alone: float) -> dict:
    """A line of the table; times in ms, `sent` of the communication and `alone` of the step on one chip."""
    return {
        "chips": chips,
        "parallel": parallel,
        "memory_gb": memory,
        "collective_mb": megabytes,
        "communication_ms": sent,
        "efficiency": alone / (alone + sent),
        "efficiency_overlapped": alone / max(alone, sent),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True, metavar="FILE[:ARG,ARG]")
    parser.add_argument("--rows", type=int, default=32, help="clips a chip")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    args, settings = parser.parse_known_args()

    base = read_config([f"--config={args.config}", *settings])
    one = one_chip(args, base, settings)
    alone = one["estimated_ms"] + (one["kernel_ms"] or 0.0)
    rows = [as_row(1, "none", one["needed_gb"], {}, 0.0, alone)]
    for topology, chips in TOPOLOGIES.items():
        for name, mesh in (("data", MeshConfig(-1, 1, 1)), ("fsdp", MeshConfig(1, -1, 1))):
            data = dataclasses.replace(base.data, global_batch=args.rows * chips // base.data.clips_per_decode)
            step = compile_step(dataclasses.replace(base, data=data, mesh=mesh), topology)
            if not step.fits:
                raise ConfigError(f"{step.needed_gb:.1f} GB a chip do not fit {topology}; {REMEDY}")
            megabytes = {kind: found.bytes / 1e6 for kind, found in step.collectives.items()}
            rows.append(as_row(chips, name, step.needed_gb, megabytes, communication_ms(step), alone))
            print(f"{topology} {name} compiled", file=sys.stderr)
    if args.json:
        print(json.dumps(rows))
        return 0
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("chips", "parallel", "GB a chip", "collectives, MB a chip", "sent, ms", "efficiency", "overlapped"):
        table.add_column(heading, justify="right" if heading != "parallel" else "left")
    for row in rows:
        kinds = ", ".join(f"{kind} {size:.0f}" for kind, size in row["collective_mb"].items()) or "none"
        cells = (f"{row['memory_gb']:.1f}", kinds, f"{row['communication_ms']:.1f}")
        shares = (f"{row['efficiency']:.1%}", f"{row['efficiency_overlapped']:.1%}")
        table.add_row(str(row["chips"]), row["parallel"], *cells, *shares)
    console = Console()
    console.print(table)
    kernels = "without its kernels, whose time is unknown" if one["kernel_ms"] is None else "kernels included"
    console.print(f"{args.rows} clips a chip, {alone:.0f} ms a step on one chip, {kernels}.", highlight=False)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"vidjax: {error}")
