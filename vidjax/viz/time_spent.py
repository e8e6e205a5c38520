"""Account for the time of a run over all its starts, from goodput.json, in a section of the report.

Only steps that a checkpoint keeps count as useful: a start that is killed loses the steps after its last checkpoint.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

from vidjax.files import located, read_json
from vidjax.viz.document import Block, Heading, Table, Text

FILE = "goodput.json"
KINDS = {  # the ways in which a start spends time, and a report's words for them
    "start": "starting: finding the videos, building the model, reading the checkpoint",
    "compile": "compiling",
    "step": "training steps that count",
    "data": "waiting for data",
    "evaluate": "evaluation and report",
    "save": "saving",
    "lost": "lost: steps that no checkpoint kept",
}
_TRAINING = ("step", "data")


@dataclasses.dataclass
class Start:
    """One start of a run.

    Attributes:
      seconds: seconds by kind.
      saved: for the step of each checkpoint, the seconds of training and of waiting for data until its writing began.
    """

    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    saved: dict[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        self.seconds = dict.fromkeys(KINDS, 0.0) | self.seconds

    @property
    def trained(self) -> float:
        """Seconds of training steps and of waiting for their data."""
        return sum(self.seconds[kind] for kind in _TRAINING)

    def lose_after(self, step: int) -> None:
        """Count this start's training after a step as lost, since the run resumes from the checkpoint of that step."""
        self.saved = {number: seconds for number, seconds in self.saved.items() if int(number) <= step}
        trained, kept = self.trained, max(self.saved.values(), default=0.0)
        for kind in _TRAINING if trained > kept else ():
            lost = self.seconds[kind] * (1 - kept / trained)
            self.seconds[kind] -= lost
            self.seconds["lost"] += lost


def read_starts(workdir: str | os.PathLike) -> list[Start]:
    """Read the starts of a run, oldest first; empty if goodput.json is missing or damaged."""
    try:
        return [Start(**start) for start in read_json(located(workdir) / FILE) or ()]
    except TypeError:
        return []


def totals(starts: Sequence[Start]) -> dict[str, float]:
    """Seconds by kind over all starts, and "goodput", the share of time that went into steps that count."""
    found = {kind: sum(start.seconds[kind] for start in starts) for kind in KINDS}
    whole = sum(found.values())
    return found | {"goodput": found["step"] / whole if whole else 0.0}


def time_blocks(workdir: str | os.PathLike) -> list[Block]:
    """The "Where the time went" section of a report; empty for a run without recorded times."""
    starts = read_starts(workdir)
    found = totals(starts)
    whole = sum(found[kind] for kind in KINDS)
    if not whole:
        return []
    shares = [found[kind] / whole for kind in KINDS]
    lines = [(KINDS[kind], duration(found[kind]), f"{share:.1%}") for kind, share in zip(KINDS, shares, strict=True)]
    return [
        Heading("Where the time went"),
        Table(("", "time", "share"), lines, shares),
        Text(
            f"{duration(whole)} in {len(starts)} start{'s' * (len(starts) != 1)}; goodput, the share spent on "
            f"training steps that count, is {found['goodput']:.1%}. The time between two starts, and the time to read "
            "the command and import packages, are not counted."
        ),
    ]


def duration(seconds: float) -> str:
    """Format a duration as hours, minutes and seconds; less than a minute in tenths of a second."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
