"""How often two models give the same answer about the same videos, by the names of their classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Said:
    """What a model says of some videos.

    Attributes:
      best: the name of the best class of each video, None for a video without an answer.
      classes: how many the model has; labels: their names, None if they have numbers only.
    """

    best: Sequence[str | None]
    classes: int
    labels: Sequence[str] | None = None


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How often two models agree.

    Attributes:
      videos: how many both have answered; same: how many of these have the same best class.
      shared: how many classes both have, 0 when they cannot be compared.
      remark: why the two cannot be compared, or how far their classes differ; else empty.
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

    Classes are the same when their names are, without regard to case, and with spaces for underscores and hyphens.
    Classes without names are the same by their numbers, when both models have as many.
    """
    both = [
        (plain(a), plain(b)) for a, b in zip(first.best, second.best, strict=True) if a is not None and b is not None
    ]
    same = sum(a == b for a, b in both)
    if not both:
        return Agreement(0, 0, 0, "not comparable: there is no video that both have answered")
    if not first.labels and not second.labels and first.classes == second.classes:
        return Agreement(len(both), same, first.classes, "classes without names are compared by their numbers")
    if nameless := [which for which, said in (("first", first), ("second", second)) if not said.labels]:
        words = f"not comparable: the classes of the {' and of the '.join(nameless)} have no names"
        return Agreement(len(both), 0, 0, words)
    names, others = ({plain(name) for name in said.labels or ()} for said in (first, second))
    shared = len(names & others)
    if not shared:
        return Agreement(len(both), 0, 0, "not comparable: no class of one has the name of one of the other's")
    alone = f"{len(names) - shared} in the first only, {len(others) - shared} in the second only"
    own = f"{shared} {'class' if shared == 1 else 'classes'} in common, {alone}"
    return Agreement(len(both), same, shared, "" if names == others else own)


def plain(name: str) -> str:
    """A name as it is compared: `Riding_a_bike` is `riding a bike`."""
    return " ".join(name.replace("_", " ").replace("-", " ").casefold().split())
