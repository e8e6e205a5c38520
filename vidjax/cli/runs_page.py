"""The output of `vidjax runs`: a table, JSON, and an HTML page with curves and the settings that differ."""

from __future__ import annotations

import json
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from vidjax.errors import printable
from vidjax.files import Place, located
from vidjax.tasks import TASKS
from vidjax.training.run_summary import RunSummary
from vidjax.viz import document
from vidjax.viz.curves import LEARNING_RATE, LOSS, Curve, draw_curves
from vidjax.viz.time_spent import duration

COLUMNS = ("run", "task", "model", "step", "figure", "value", "best", "time", "state")
_SPEED = Curve("perf/clips_per_s", "clips per second")


def short_names(folders: Sequence[Place]) -> list[str]:
    """Return the paths of runs without their common parent folders; unique if the paths are."""
    parts = [os.fspath(folder).rstrip("/").split("/") for folder in folders]
    shared = 0
    while all(len(path) > shared + 1 for path in parts) and len({path[shared] for path in parts}) == 1:
        shared += 1
    return ["/".join(path[shared:]) for path in parts]


def as_json(runs: Mapping[str, RunSummary]) -> list[dict[str, Any]]:
    """Return one object per run."""
    return [
        {
            "run": name,
            "folder": os.fspath(run.folder),
            "task": run.task,
            "model": run.model,
            "step": run.step,
            "total": run.total,
            "figure": run.metric,
            "value": run.value,
            "best": run.best[0] if run.best else None,
            "best_step": run.best[1] if run.best else None,
            "hours": None if run.hours is None else round(run.hours, 4),
            "state": run.state,
            "notes": list(run.notes),
        }
        for name, run in runs.items()
    ]


def print_table(runs: Mapping[str, RunSummary]) -> None:
    """Print one line per run, and below the table the remarks that do not fit in it."""
    table = Table(*COLUMNS, box=box.SIMPLE, pad_edge=False)
    for column in table.columns[3:8]:
        column.justify = "right"
    for line in _rows(runs):
        table.add_row(*(Text(printable(cell)) for cell in line))
    console = Console()
    if not console.is_terminal:  # no screen width to respect
        console.width = Measurement.get(console, console.options.update(width=1000), table).maximum
    console.print(table)
    for sentence in _remarks(runs):
        console.print(printable(sentence), markup=False, highlight=False, soft_wrap=True)


def page(runs: Mapping[str, RunSummary]) -> str:
    """Return a self-contained HTML page."""
    blocks: list[document.Block] = [document.Table(COLUMNS, list(_rows(runs)), folds=False)]
    blocks += [document.Text(sentence) for sentence in _remarks(runs)]
    with tempfile.TemporaryDirectory() as folder:
        for task in sorted({run.task for run in runs.values()}):
            ours = {name: run.folder for name, run in runs.items() if run.task == task}
            pictures = list(_curves(ours, task, pathlib.Path(folder)))
            if pictures:
                blocks += [document.Heading(f"Curves: {task.replace('_', ' ') or 'unknown task'}"), *pictures]
        if found := _differences(runs):
            blocks += [document.Heading("Settings that differ"), found]
        return document.html_page(f"{len(runs)} run{'s' * (len(runs) != 1)}", blocks)


def _rows(runs: Mapping[str, RunSummary]) -> Iterator[list[str]]:
    for name, run in runs.items():
        step = "-" if run.step is None else f"{run.step}"
        best = f"{_number(run.best[0])} at {run.best[1]}" if run.best else "-"
        time = "-" if run.hours is None else duration(3600 * run.hours)
        yield [
            name, run.task or "-", run.model or "-", f"{step}/{run.total}" if run.total else step, run.metric or "-",
            _number(run.value), best, time, run.state.split(":", 1)[0],
        ]  # fmt: skip


def _remarks(runs: Mapping[str, RunSummary]) -> Iterator[str]:
    """Yield sentences about how runs ended, where one word is not enough, and about problems with their files."""
    for name, run in runs.items():
        for sentence in ([run.state] if ":" in run.state else []) + list(run.notes):
            yield f"{name}: {sentence}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _curves(folders: Mapping[str, Place], task: str, drafts: pathlib.Path) -> Iterator[document.Picture]:
    """Yield a picture with the overlaid curves of a task's runs, if any run has a curve."""
    curves = (LOSS, *(TASKS[task].curves if task in TASKS else ()), LEARNING_RATE, _SPEED)
    if path := draw_curves(folders, curves, drafts / f"{task.replace('/', '_')}.png"):
        # With a single run there is no legend, so the caption names it.
        whose = f" of {next(iter(folders))}" if len(folders) == 1 else ""
        caption = f"Curves{whose} over training steps, smoothed where they are long."
        yield document.Picture(located(path), caption, zooms=True)


def _differences(runs: Mapping[str, RunSummary]) -> document.Table | None:
    """Tabulate the settings that differ between runs with readable settings, oriented to be longer than wide."""
    known = [run.config for run in runs.values() if run.config]
    keys = dict.fromkeys(key for config in known for key in config)
    differing = [key for key in keys if len({json.dumps(config.get(key)) for config in known}) > 1]
    if not differing:
        return None
    cells = [
        [json.dumps(run.config[key], ensure_ascii=False) if key in run.config else "-" for key in differing]
        for run in runs.values()
    ]
    if len(runs) > len(differing):
        rows = [[name, *line] for name, line in zip(runs, cells, strict=True)]
        return document.Table(("run", *differing), rows, folds=False)
    rows = [[key, *line] for key, *line in zip(differing, *cells, strict=True)]
    return document.Table(("setting", *runs), rows, folds=False)
