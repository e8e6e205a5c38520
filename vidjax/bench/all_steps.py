"""Time every shipped step on this machine's accelerator, and list measured and estimated times in a Markdown table.

The list runs unattended: each step has its own process (`vidjax.bench.shipped_step`), and each result is written to a
file at once, one JSON object per line. A later call measures only the steps that the file lacks for this device and
version of jax.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from vidjax.bench.shipped import SHIPPED, Shipped
from vidjax.errors import ConfigError, DataError, nearest
from vidjax.training.throughput import peak_flops

LIMIT = 1200  # seconds for a step's process, including compilation
CHIPS = {"TPU v5 lite": "v5e", "TPU v5e": "v5e"}  # device kinds of JAX as docs/performance.md names them
_HEAD = ("step", "clips", "measured", "estimated", "measured / estimated", "MFU", "memory", "compiled in")
Start = Callable[[Sequence[str]], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Machine:
    """The machine's device as JAX names it, its platform (cpu, gpu or tpu) and the version of jax."""

    device: str
    platform: str
    jax: str


@dataclasses.dataclass(frozen=True)
class Found:
    """The result of a step.

    Attributes:
      experiment: a key of `SHIPPED`.
      size: shipped or tiny.
      machine: the machine on which the step was measured.
      timed: the fields of `shipped_step.Timed`, or `error` with the reason why there are none.
    """

    experiment: str
    size: str
    machine: Machine
    timed: dict[str, Any]

    @property
    def shipped(self) -> Shipped:
        """The experiment's row in the table of shipped steps."""
        return SHIPPED[self.experiment]

    @property
    def failed(self) -> bool:
        """Whether the step could not be measured."""
        return "error" in self.timed


def measure_all(
    path: pathlib.Path, size: str, only: Sequence[str], rounds: int, *, remark: Callable[[str], None], start: Start
) -> list[Found]:
    """Measure the requested steps that the file lacks, and return the results of all requested steps.

    Args:
      path: the file of results; it is created if necessary.
      size: shipped, or tiny for a quick trial.
      only: keys of `SHIPPED`; empty for all. Results are in this order.
      rounds: rounds per step.
      remark: called with a message for each step.
      start: runs a process of `vidjax.bench.shipped_step` and returns its answer.

    Raises:
      ConfigError: for an unknown experiment, or if jax finds no device (or no accelerator, unless size is tiny).
      DataError: if the file is not a file of results.
    """
    for experiment in only:
        if experiment not in SHIPPED:
            raise ConfigError(f"--only={experiment} is not a shipped step; {nearest(experiment, tuple(SHIPPED))}")
    known = read_results(path)
    answer = start(())
    if "error" in answer:
        raise ConfigError(f"jax finds no device: {answer['error']}")
    machine = Machine(**answer)
    if machine.platform == "cpu" and size != "tiny":
        raise ConfigError("--all measures steps on an accelerator, but jax finds none; try it out with --size=tiny")
    rows = []
    for experiment in only or SHIPPED:
        wanted = (experiment, size, machine)
        found = next((row for row in known if (row.experiment, row.size, row.machine) == wanted), None)
        if found is None:
            found = Found(experiment, size, machine, start((experiment, size, str(rounds))))
            append_result(path, found)
        remark(f"{found.shipped.title}: {_measured(found)}")
        rows.append(found)
    return rows


def start_process(words: Sequence[str], limit: float = LIMIT) -> dict[str, Any]:
    """Run `vidjax.bench.shipped_step` and return what it prints, or `error` if it fails."""
    command = [sys.executable, "-m", "vidjax.bench.shipped_step", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"error": f"stopped after {limit / 60:.3g} minutes"}
    if done.returncode or not done.stdout.strip():
        said = done.stderr.strip().splitlines() or ["no error message"]
        return {"error": f"its process ended with code {done.returncode}: {said[-1]}"}
    return json.loads(done.stdout.strip().splitlines()[-1])


def read_results(path: pathlib.Path) -> list[Found]:
    """Read the rows of a file of results; none if there is no file.

    Raises:
      DataError: for a malformed line.
    """
    if not path.is_file():
        return []
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            entry = json.loads(line)
            rows.append(Found(**entry | {"machine": Machine(**entry["machine"])}))
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{path}, line {number} is not a result of vidjax bench step --all; name another file"
            ) from error
    return rows


def append_result(path: pathlib.Path, found: Found) -> None:
    """Append a row; if the process is stopped, no earlier row is lost."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(dataclasses.asdict(found)) + "\n")


def markdown(rows: Iterable[Found], date: str | None = None) -> str:
    """Return the table for docs/performance.md, with the machine and the date."""
    rows = list(rows)
    lines = [f"| {' | '.join(_HEAD)} |", "|---" * len(_HEAD) + "|"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
    machine, date = rows[0].machine, date or time.strftime("%Y-%m-%d")
    return "\n".join([f"One {machine.device}, jax {machine.jax}, {date}, `vidjax bench step --all`:", "", *lines])


def _cells(row: Found) -> tuple[str, ...]:
    timed, shipped = row.timed, row.shipped
    title = f"{shipped.title}, `{row.experiment}`" + (", tiny" if row.size == "tiny" else "")
    estimated = shipped.estimated_ms.get(CHIPS.get(row.machine.device, "")) if row.size == "shipped" else None
    shown = "-" if estimated is None else f"{estimated:.1f} ms"
    if row.failed:
        clips = shipped.config(tiny=row.size == "tiny").data
        return title, f"{clips.global_batch * clips.clips_per_decode}", _measured(row), shown, "-", "-", "-", "-"
    best, peak = min(timed["ms"]), peak_flops(row.machine.device)
    factor = "-" if estimated is None else f"{best / estimated:.2f}"
    mfu = f"{timed['clips'] * timed['flops_per_clip'] / (best / 1e3 * peak):.0%}".replace("%", " %") if peak else "-"
    memory = "-" if timed["needed_gb"] is None else f"{timed['needed_gb']:.2f} GB"
    return title, f"{timed['clips']}", _measured(row), shown, factor, mfu, memory, f"{timed['compile_s']:.0f} s"


def _measured(row: Found) -> str:
    """Return the fastest and the slowest round, or the reason why there is none."""
    if row.failed:
        return f"not measured: {row.timed['error']}".replace("|", "/")
    best, worst = min(row.timed["ms"]), max(row.timed["ms"])
    return f"{best:.1f} ms (to {worst:.1f})"
