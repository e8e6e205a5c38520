"""What validations said of a run's checkpoints: scores.json, beside their folders."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Literal

from vidjax.files import Place, located
from vidjax.weights.run_files import CHECKPOINTS, DATA

Which = Literal["best", "last"]
SCORES = "scores.json"


def best_step(steps: Iterable[int], scores: dict[int, float]) -> int | None:
    """The step with the highest score, the later of equals; None when none has one."""
    return max((step for step in steps if step in scores), key=lambda step: (scores[step], step), default=None)


def choose_step(steps: Iterable[int], scores: dict[int, float], which: Which) -> int:
    """The last step, or the best one; the last where none has a score."""
    steps = list(steps)
    best = best_step(steps, scores) if which == "best" else None
    return max(steps) if best is None else best


def why_chosen(workdir: str | os.PathLike, step: int, which: Which, scored: str = "") -> str:
    """Words on the choice of a run's step, after a comma; empty where fewer than two steps have scores.

    Args:
      scored: the `content_id` of the videos that the step is scored on now; empty where it is only used. A score on the
        videos that it was chosen by is too good to expect again.
    """
    scores = read_scores(located(workdir) / CHECKPOINTS)
    if len(scores) < 2:
        return ""
    if which == "best" and step in scores:
        return f", chosen of {len(scores)} validations on {_validated(located(workdir), scored)} (eval.checkpoint=best)"
    return ", the last (eval.checkpoint=last)"


def _validated(workdir: Place, scored: str) -> str:
    """The videos that the steps of a run were scored on; older runs have not kept how many those are."""
    path = workdir / DATA
    known = json.loads(path.read_text()).get("validation") if path.is_file() else None
    if known is None:
        return "the validation videos of its run"
    if known["content_id"] == scored:
        return f"the same {known['videos']} videos that are scored here: optimistic"
    return f"the {known['videos']} validation videos of its run"


def read_scores(directory: Place) -> dict[int, float]:
    """The score of each step that has one."""
    path = directory / SCORES
    return {int(step): score for step, score in json.loads(path.read_text()).items()} if path.exists() else {}
