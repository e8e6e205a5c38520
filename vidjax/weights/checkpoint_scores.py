"""What evaluations said of a run's checkpoints: scores.json, beside their folders."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

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


def why_chosen(step: int, scores: dict[int, float], which: Which) -> str:
    """Words on the choice of a step; empty where fewer than two have scores. A best score flatters: it was chosen."""
    if len(scores) < 2:
        return ""
    if which == "best" and step in scores:
        return f", the best of {len(scores)} on the evaluation split itself (eval.checkpoint=best)"
    return ", the last (eval.checkpoint=last)"


def read_scores(directory: Path) -> dict[int, float]:
    """The score of each step that has one."""
    path = directory / SCORES
    return {int(step): score for step, score in json.loads(path.read_text()).items()} if path.exists() else {}
