"""The end of a run: pictures, a report, and a summary of where everything is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator

import jax
from jax.sharding import Mesh

from vidjax.config import Config
from vidjax.errors import DataError, UserError
from vidjax.files import Place, read_json_lines
from vidjax.objectives import Objective
from vidjax.objectives.base import Params
from vidjax.tasks import TASKS, open_eval
from vidjax.training.telemetry import say
from vidjax.viz.behind_scores import QUARANTINE
from vidjax.viz.document import PAGE
from vidjax.viz.reconstruction import Pictures
from vidjax.viz.report import PICTURES, write_run_report
from vidjax.viz.time_spent import KINDS, duration, read_starts, totals
from vidjax.weights.adapter import ABOUT, ARRAYS
from vidjax.weights.checkpoint_scores import best_step, read_scores
from vidjax.weights.run_files import CHECKPOINTS, CONFIG, METRICS


def draw_pictures(config: Config, objective: Objective, params: Params, mesh: Mesh, workdir: Place) -> Place | None:
    """Draw the task's pictures of evaluation videos, if the task draws any; every process must call this.

    Returns:
      The animated reconstructions if the task draws them; otherwise None.
    """
    draw = TASKS.find(config.task).draw
    if draw is None:
        return None
    try:
        source = open_eval(config)
    except DataError as error:
        say(f"no pictures: there is no evaluation split ({error})")
        return None
    drawn = draw(objective, params, source, config, mesh, workdir / PICTURES)
    return drawn.files.gif if isinstance(drawn, Pictures) else None  # a user's own task may draw anything


def write_report(config: Config, workdir: Place, act: str, results: dict | None = None, why: str = "") -> None:
    """Write report.md and report.html from the files of the folder, on the first process only.

    Args:
      act: what was done, such as `trained to step 200 of 200`.
      results: the flat results.
      why: why the run was stopped; empty if it was not.
    """
    if jax.process_index() == 0:
        write_run_report(workdir, TASKS.find(config.task).curves, act, config, results, why)


@contextlib.contextmanager
def told_in_report(config: Config, workdir: Place, act: Callable[[], str]) -> Generator[None]:
    """If an error ends the run, write it to the run's report with the step, and raise it again.

    Args:
      act: returns what was done before the error, such as `stopped at step 20 of 200`.
    """
    try:
        yield
    except Exception as error:
        with contextlib.suppress(Exception):  # the same cause may keep the report from being written
            if (workdir / CONFIG).is_file():  # otherwise the folder has been deleted
                lines = str(error).splitlines()
                kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
                write_report(config, workdir, act(), why=f"{kind}{lines[0] if lines else ''}")
        raise


def say_where(config: Config, workdir: Place, act: str) -> None:
    """Say how long a finished run took, where its files are, and which command to try next."""
    if jax.process_index() == 0:
        for line in _where(config, workdir, act):
            say(line)


def _where(config: Config, workdir: Place, act: str) -> Iterator[str]:
    starts = read_starts(workdir)
    found = totals(starts)
    yield f"{act} in {duration(sum(found[kind] for kind in KINDS))}, {found['goodput']:.0%} of it in training steps"
    yield f"  report       {workdir / PAGE}"
    steps = sorted(int(path.name) for path in (workdir / CHECKPOINTS).iterdir() if path.name.isdigit())
    best = best_step(steps, read_scores(workdir / CHECKPOINTS))
    which = f"; {best} is the best" if best is not None and len(steps) > 1 else ""
    yield f"  checkpoints  {workdir / CHECKPOINTS}: {', '.join(map(str, steps))}{which}"
    if (workdir / ARRAYS).exists():
        yield f"  adapter      {workdir / ARRAYS} and {ABOUT}, on {config.init_from or 'random weights'}"
    yield f"  metrics      {workdir / METRICS}; tensorboard --logdir {workdir / 'tensorboard'}"
    if failed := len(read_json_lines(workdir / QUARANTINE, id=str).rows):
        yield f"  quarantine   {workdir / QUARANTINE}: {failed} video{'s' * (failed != 1)} could not be decoded"
    yield f"  try it       {_command(config)} --model {workdir}"


def _command(config: Config) -> str:
    """The command that shows what the run has learned."""
    if config.task == "masked_autoencoding":
        return "vidjax reconstruct VIDEO"
    answer = TASKS.find(config.task).answer
    if answer is None:
        return "vidjax embed --data DIR --out FEATURES"
    return f"vidjax {'caption' if answer.kind == 'caption' else 'predict'} VIDEO"
