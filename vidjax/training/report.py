"""What a run leaves for people at its end: pictures and a report."""

from __future__ import annotations

import jax
from jax.sharding import Mesh

from vidjax.config import Config
from vidjax.errors import DataError
from vidjax.files import Place
from vidjax.objectives import Objective
from vidjax.objectives.base import Params
from vidjax.tasks import TASKS, open_eval
from vidjax.training.telemetry import say
from vidjax.viz.report import PICTURES, write_run_report


def draw_pictures(config: Config, objective: Objective, params: Params, mesh: Mesh, workdir: Place) -> None:
    """Draw what the task draws of videos of the evaluation split, if anything; every process calls it."""
    draw = TASKS.find(config.task).draw
    if draw is None:
        return
    try:
        source = open_eval(config)
    except DataError as error:
        say(f"no pictures, for lack of an evaluation split: {error}")
        return
    draw(objective, params, source, config, mesh, workdir / PICTURES)


def write_report(config: Config, workdir: Place, act: str, results: dict | None = None) -> None:
    """Write report.md from what is in the folder; by the first process only.

    Args:
      act: what was done, such as `trained to step 200 of 200`.
      results: that came of it, flat.
    """
    if jax.process_index() == 0:
        curves = TASKS.find(config.task).curves
        say(f"report: {write_run_report(workdir, curves, act, config, results)}")
