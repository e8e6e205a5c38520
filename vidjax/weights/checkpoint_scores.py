"""The validation scores of a run's checkpoints, kept in scores.json beside their folders."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from typing import Literal

from vidjax.files import Place, located, read_json, read_json_lines
from vidjax.tasks import TASKS
from vidjax.weights.run_files import CHECKPOINTS, CONFIG, DATA, METRICS

Which = Literal["best", "last"]
SCORES = "scores.json"


def best_step(steps: Iterable[int], scores: Mapping[int, float | None]) -> int | None:
    """Return the step with the highest finite score, the latest in a tie; None if no step has a finite score."""
    finite = {step: score for step, score in scores.items() if score is not None and math.isfinite(score)}
    return max((step for step in steps if step in finite), key=lambda step: (finite[step], step), default=None)


def choose_step(steps: Iterable[int], scores: dict[int, float], which: Which) -> int:
    """Return the last step or the best one; the last if no step has a score."""
    steps = list(steps)
    best = best_step(steps, scores) if which == "best" else None
    return max(steps) if best is None else best


def why_chosen(workdir: str | os.PathLike, step: int, which: Which, scored: str = "") -> str:
    """Explain in a clause why a run's step was chosen.

    The clause starts with a comma. It is empty if fewer than two steps have scores, unless the best step was wanted and
    a damaged scores.json is the reason.

    Args:
      scored: the `content_id` of the videos on which the step is now scored; empty if it is not scored. If the step was
        chosen on the same videos, its score is optimistic, and the clause says so.
    """
    scores = read_scores(located(workdir) / CHECKPOINTS)
    if which == "best" and not scores and scores_damaged(located(workdir) / CHECKPOINTS):
        return f", the last, since {SCORES} is damaged"
    if len(scores) < 2:
        return ""
    if which == "best" and step in scores:
        return (
            f", chosen from {len(scores)} validations on {_validated(located(workdir), scored)} (eval.checkpoint=best)"
        )
    return ", the last (eval.checkpoint=last)"


def _validated(workdir: Place, scored: str) -> str:
    """Describe the videos on which a run's steps were scored; older runs did not record their number."""
    known = (read_json(workdir / DATA) or {}).get("validation")
    if known is None:
        return "the validation videos of its run"
    if known["content_id"] == scored:
        return f"the same {known['videos']} videos that are scored here, so the score is optimistic"
    return f"the {known['videos']} validation videos of its run"


def read_scores(directory: Place) -> dict[int, float]:
    """Read the score of each step that has one, from scores.json or, if that is damaged, from metrics.jsonl."""
    scores = _whole_scores(directory)
    return _scores_of_metrics(directory.parent) if scores is None else scores


def scores_damaged(directory: Place) -> bool:
    """Return whether scores.json exists but cannot be read."""
    return _whole_scores(directory) is None


def _whole_scores(directory: Place) -> dict[int, float] | None:
    path = directory / SCORES
    if not path.exists():
        return {}
    found = read_json(path)
    try:
        return {int(step): float(score) for step, score in found.items() if score is not None}
    except (AttributeError, TypeError, ValueError):  # not a dict of steps and scores
        return None


def _scores_of_metrics(workdir: Place) -> dict[int, float]:
    """Return the main metric of each validation or, if there was none, of the final evaluation, by step."""
    task = (read_json(workdir / CONFIG) or {}).get("task")
    evaluator = TASKS.find(task).evaluator if task else None
    if evaluator is None:
        return {}
    rows = read_json_lines(workdir / METRICS, step=int).rows
    for name in (f"val/{evaluator.main}", f"eval/{evaluator.main}"):
        if found := {row["step"]: row[name] for row in rows if isinstance(row.get(name), int | float)}:
            return found
    return {}
