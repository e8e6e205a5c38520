"""What evaluations said of a run's checkpoints: scores.json, beside their folders."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

SCORES = "scores.json"


def best_step(steps: Iterable[int], scores: dict[int, float]) -> int | None:
    """The step with the highest score, the later of equals; None when none has one."""
    return max((step for step in steps if step in scores), key=lambda step: (scores[step], step), default=None)


def read_scores(directory: Path) -> dict[int, float]:
    """The score of each step that has one."""
    path = directory / SCORES
    return {int(step): score for step, score in json.loads(path.read_text()).items()} if path.exists() else {}
