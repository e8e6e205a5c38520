"""State on the page whether two models agree, as `vidjax compare` judges it."""

from __future__ import annotations

from typing import Any

from vidjax.demo.models import Classifier
from vidjax.evaluation.agreement import Said, agreement


def verdict(models: tuple[Classifier, Classifier], answers: tuple[dict[str, Any], dict[str, Any]]) -> str:
    """Return a sentence about the answers of two models for one video.

    Args:
      answers: as returned by `Classifier.answer`.
    """
    if any("top" not in answer for answer in answers):
        return "Compare the numbers by eye."
    best, other = (answer["top"][0]["label"] for answer in answers)
    first, second = (
        Said([label], model.model.num_classes or 0, model.model.labels)
        for model, label in zip(models, (best, other), strict=True)
    )
    found = agreement(first, second)
    if not found.shared:
        return f"{found.remark.capitalize()}."
    return f"Both say {best}." if found.same else f"They disagree: the first says {best}, the second {other}."
