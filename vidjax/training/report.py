"""What a run leaves for people at its end: pictures, a report, and where everything lies."""

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
from vidjax.weights.checkpoint_scores import best_step, read_scores
from vidjax.weights.run_files import CHECKPOINTS, CONFIG, METRICS


def draw_pictures(config: Config, objective: Objective, params: Params, mesh: Mesh, workdir: Place) -> Place | None:
    """Draw what the task draws of videos of the evaluation split, if anything; every process calls it.

    Returns:
      the moving picture of reconstructions, if it is these that are drawn.
    """
    draw = TASKS.find(config.task).draw
    if draw is None:
        return None
    try:
        source = open_eval(config)
    except DataError as error:
        say(f"no pictures, for lack of an evaluation split: {error}")
        return None
    drawn = draw(objective, params, source, config, mesh, workdir / PICTURES)
    return drawn.files.gif if isinstance(drawn, Pictures) else None  # a task of one's own may draw anything


def write_report(config: Config, workdir: Place, act: str, results: dict | None = None, why: str = "") -> None:
    """Write report.md and report.html from what is in the folder; by the first process only.

    Args:
      act: what was done, such as `trained to step 200 of 200`.
      results: that came of it, flat.
      why: it was stopped, if it was.
    """
    if jax.process_index() == 0:
        write_run_report(workdir, TASKS.find(config.task).curves, act, config, results, why)


@contextlib.contextmanager
def told_in_report(config: Config, workdir: Place, act: Callable[[], str]) -> Generator[None]:
    """Around a run: an error that ends it stands in its report, with the step; it is raised again in any case.

    Args:
      act: gives what was done until then, such as `stopped at step 20 of 200`.
    """
    try:
        yield
    except Exception as error:
        with contextlib.suppress(Exception):  # what ends the run may keep the report from being written too
            if (workdir / CONFIG).is_file():  # else its folder was taken away
                lines = str(error).splitlines()
                kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
                write_report(config, workdir, act(), why=f"{kind}{lines[0] if lines else ''}")
        raise


def say_where(config: Config, workdir: Place, act: str) -> None:
    """The last words of a run that is trained: how long it took, where everything lies, and what to do with it."""
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
    yield f"  metrics      {workdir / METRICS}; tensorboard --logdir {workdir / 'tensorboard'}"
    if failed := len(read_json_lines(workdir / QUARANTINE, id=str).rows):
        yield f"  quarantine   {workdir / QUARANTINE}: {failed} video{'s' * (failed != 1)} could not be decoded"
    yield f"  try it       {_command(config)} --model {workdir}"


def _command(config: Config) -> str:
    """What shows a user what the run has learned."""
    if config.task == "masked_autoencoding":
        return "vidjax reconstruct VIDEO"
    answer = TASKS.find(config.task).answer
    if answer is None:
        return "vidjax embed --data DIR --out FEATURES"
    return f"vidjax {'caption' if answer.kind == 'caption' else 'predict'} VIDEO"
