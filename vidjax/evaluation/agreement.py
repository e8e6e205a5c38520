"""How often two models agree on the same videos, judged by the names of their classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Said:
    """A model's answers for some videos.

    Attributes:
      best: the name of the best class of each video; None for a video without an answer.
      classes: the model's number of classes.
      labels: the names of the classes; None if they only have numbers.
    """

    best: Sequence[str | None]
    classes: int
    labels: Sequence[str] | None = None


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How often two models agree.

    Attributes:
      videos: number of videos that both answered.
      same: number of these with the same best class.
      shared: number of classes that both have; 0 if the models cannot be compared.
      remark: why the two cannot be compared, or how their classes differ; may be empty.
    """

    videos: int
    same: int
    shared: int
    remark: str = ""

    @property
    def share(self) -> float | None:
        """The share of videos with the same best class; None if nothing can be compared."""
        return self.same / self.videos if self.videos and self.shared else None


def agreement(first: Said, second: Said) -> Agreement:
    """Compare the best classes of two models.

    Two classes are the same if their names match, ignoring case and treating underscores and hyphens as spaces. Classes
    without names are compared by number, if both models have the same number of classes.
    """
    both = [
        (plain(a), plain(b)) for a, b in zip(first.best, second.best, strict=True) if a is not None and b is not None
    ]
    same = sum(a == b for a, b in both)
    if not both:
        return Agreement(0, 0, 0, "not comparable: no video was answered by both models")
    if not first.labels and not second.labels and first.classes == second.classes:
        return Agreement(len(both), same, first.classes, "classes without names are compared by their numbers")
    if nameless := [which for which, said in (("first", first), ("second", second)) if not said.labels]:
        words = f"not comparable: the classes of the {' and the '.join(nameless)} model have no names"
        return Agreement(len(both), 0, 0, words)
    names, others = ({plain(name) for name in said.labels or ()} for said in (first, second))
    shared = len(names & others)
    if not shared:
        return Agreement(len(both), 0, 0, "not comparable: the two models share no class name")
    alone = f"{len(names) - shared} in the first only, {len(others) - shared} in the second only"
    own = f"{shared} {'class' if shared == 1 else 'classes'} in common, {alone}"
    return Agreement(len(both), same, shared, "" if names == others else own)


def plain(name: str) -> str:
    """Normalise a name for comparison: `Riding_a_bike` becomes `riding a bike`."""
    return " ".join(name.replace("_", " ").replace("-", " ").casefold().split())
