"""Summarise a run from the files in its folder, whatever their state."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from vidjax.config import flatten
from vidjax.errors import UserError
from vidjax.files import Place, located, read_json, read_json_lines
from vidjax.registry import is_outside
from vidjax.tasks import TASKS
from vidjax.training.workdir_lock import LOCK, who_trains
from vidjax.viz import made
from vidjax.viz.behind_scores import DATA
from vidjax.viz.curves import LOSS
from vidjax.viz.time_spent import KINDS, read_starts, totals
from vidjax.weights.run_files import CHECKPOINTS, CONFIG, METRICS, RESULTS

_MARKS = {CONFIG, CHECKPOINTS, made.HISTORY, RESULTS}  # a folder with two of them, or with metrics.jsonl, is a run
_DEPTH = 5  # levels of folders to search
_ACT = re.compile(r"(trained to|stopped at) step (\d+) of (\d+)")


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """A run at a glance.

    Attributes:
      folder: the run's folder.
      task, model: as configured; empty if config.json cannot be read.
      step, total: the last step on record, and the planned number of steps; None if unknown.
      metric: the figure that ranks its checkpoints, or train/loss.
      value: its value in the last evaluation or, without one, at the last logged step.
      best: its best value in any logged evaluation or, for a loss, the lowest among all logged steps; with the step.
      hours: the total time of all starts; None if nothing was trained here, or if it is unknown.
      state: `finished`; `running: ` or `starting: ` followed by the process; `stopped at step ...` with the reason;
        `killed after step ...` if the run could not record why; `weights` for weights not trained here; `evaluated`;
        `not begun`; or `unknown` if the folder cannot be read.
      notes: sentences about files that are damaged or missing.
      config: the saved configuration, flat.
    """

    folder: Place
    task: str
    model: str
    step: int | None
    total: int | None
    metric: str
    value: float | None
    best: tuple[float, int] | None
    hours: float | None
    state: str
    notes: tuple[str, ...]
    config: Mapping[str, Any]


def find_runs(folder: str | os.PathLike) -> list[Place]:
    """The folder itself if it is a run, otherwise the runs below it, in natural order of their paths."""
    return list(_runs_below(located(folder), _DEPTH))


def _runs_below(folder: Place, depth: int) -> Iterator[Place]:
    try:
        names = {path.name: path for path in folder.iterdir()}
    except PermissionError:  # its summary notes this
        yield folder
        return
    begins = LOCK in names and who_trains(folder)
    if METRICS in names or len(names.keys() & _MARKS) > 1 or begins:
        yield folder
        return
    for name in sorted(names, key=_natural) if depth else ():
        if not name.startswith(".") and names[name].is_dir():
            yield from _runs_below(names[name], depth - 1)


def _natural(name: str) -> list[tuple[int, str]]:
    """A sort key that orders run_2 before run_10."""
    return [(int(digits or 0), word) for digits, word in re.findall(r"(\d*)(\D*)", name)]


def summarise_run(folder: Place) -> RunSummary:
    """Summarise a run from its files; files that cannot be read are noted, and no error is raised."""
    try:
        return _summarise(folder)
    except Exception as error:  # an unreadable folder, a lost connection
        said = str(error) if isinstance(error, UserError | OSError) else f"{type(error).__name__}: {error}"
        notes = (f"it cannot be read: {said.splitlines()[0] if said else type(error).__name__}",)
        return RunSummary(folder, "", "", None, None, "", None, None, None, "unknown", notes, {})


def _summarise(folder: Place) -> RunSummary:
    notes: list[str] = []
    config = _config(folder, notes)
    lines = read_json_lines(folder / METRICS)
    rows = [row for row in lines.rows if isinstance(row.get("step"), int)]
    if lines.damaged:
        notes.append(f"{lines.damaged} of {lines.damaged + len(lines.rows)} lines of {METRICS} are damaged")
    results = read_json(folder / RESULTS)
    if results is None and (folder / RESULTS).exists():
        notes.append(f"{RESULTS} is damaged")
    results = results if isinstance(results, dict) else {}
    saved = [int(path.name) for path in _listed(folder / CHECKPOINTS) if path.name.isdigit()]
    step = max((*(row["step"] for row in rows), *saved), default=None)
    acts = [(found, of) for of in made.read(folder) if (found := _ACT.match(of.act))]
    starts = read_starts(folder)
    metric, value, best = _figures(config.get("task", ""), rows, results)
    return RunSummary(
        folder=folder,
        task=str(config.get("task", "")),
        model=str(config.get("model.name", "")),
        step=step,
        total=int(acts[-1][0][3]) if acts else _total(config, folder),
        metric=metric,
        value=value,
        best=best,
        hours=sum(totals(starts)[kind] for kind in KINDS) / 3600 if starts else None,
        state=_state(folder, step, acts, bool(rows), bool(results)),
        notes=tuple(notes),
        config=config,
    )


def _config(folder: Place, notes: list[str]) -> dict[str, Any]:
    """The flat config.json; empty, with a note, if it cannot be read."""
    tree = read_json(folder / CONFIG)
    if isinstance(tree, dict):
        return dict(flatten(tree))
    if (folder / CONFIG).exists():
        notes.append(f"{CONFIG} is damaged")
    elif (folder / METRICS).exists():
        notes.append(f"{CONFIG} is missing")
    return {}


def _listed(folder: Place) -> Iterator[Place]:
    if folder.is_dir():
        yield from folder.iterdir()


def _figures(
    task: str, rows: list[dict[str, Any]], results: Mapping[str, Any]
) -> tuple[str, float | None, tuple[float, int] | None]:
    """The name of the main figure, its last value, and the best one with its step."""
    main = _main(task, rows, results)
    names = (f"val/{main}", f"eval/{main}") if main else (LOSS.metric,)
    series = [(float(row[name]), row["step"]) for row in rows for name in names if _is_number(row.get(name))]
    value = results.get(f"eval/{main}")
    if not _is_number(value):
        value = series[-1][0] if series else None
    sign = 1 if main else -1
    best = max(series, key=lambda pair: sign * pair[0]) if series else None
    return main or (LOSS.metric if series else ""), value, best


def _main(task: str, rows: list[dict[str, Any]], results: Mapping[str, Any]) -> str:
    """The figure that ranks a task's runs; for a user's own task, which is not imported, its first logged figure."""
    if task in TASKS:
        evaluator = TASKS[task].evaluator
        return evaluator.main if evaluator else ""
    if is_outside(task):
        names = [name for tree in (*rows, results) for name in tree if name.startswith(("val/", "eval/"))]
        return names[0].split("/", 1)[1] if names else ""
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _total(config: Mapping[str, Any], folder: Place) -> int | None:
    """The number of steps that a configuration asks for; None if unknown."""
    data = read_json(folder / DATA)
    try:
        if config["train.steps"] > 0:
            return int(config["train.steps"])
        return max(1, round(config["train.epochs"] * data["train"]["videos"] / config["data.global_batch"]))
    except (KeyError, TypeError, ZeroDivisionError):
        return None


def _state(folder: Place, step: int | None, acts: list[tuple[re.Match, made.Made]], logged: bool, scored: bool) -> str:
    if owner := who_trains(folder):
        return f"running: {owner}" if logged else f"starting: {owner}"
    if acts and (step is None or int(acts[-1][0][2]) >= step):
        (_, done, total), of = acts[-1][0].groups(), acts[-1][1]
        if done == total and of.act.startswith("trained"):
            return "finished"
        return f"stopped at step {done}" + (f": {of.why}" if of.why else "")
    if logged:
        return f"killed after step {step}"
    if step is not None:
        return "weights"
    return "evaluated" if scored else "not begun"
