"""Where the time of a run went, over all its starts: goodput.json, and what a report says of it.

What counts is the time of steps that a checkpoint has kept: a start that is killed loses those after its last one.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

from vidjax.files import located, read_json
from vidjax.viz.document import Block, Heading, Table, Text

FILE = "goodput.json"
KINDS = {  # what a start spends its time on, and how a report calls it
    "start": "starting: finding the videos, making the model, reading the checkpoint",
    "compile": "compiling",
    "step": "training steps that count",
    "data": "waiting for data",
    "evaluate": "evaluation and report",
    "save": "saving",
    "lost": "lost: steps that no checkpoint has kept",
}
_TRAINING = ("step", "data")


@dataclasses.dataclass
class Start:
    """One start of a run.

    Attributes:
      seconds: by kind.
      saved: seconds of steps and of waiting for their data until the checkpoint of each step was begun.
    """

    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    saved: dict[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        self.seconds = dict.fromkeys(KINDS, 0.0) | self.seconds

    @property
    def trained(self) -> float:
        """Seconds of steps, and of waiting for their data."""
        return sum(self.seconds[kind] for kind in _TRAINING)

    def lose_after(self, step: int) -> None:
        """The run goes on from the checkpoint of a step: what this start has trained after it is lost."""
        self.saved = {number: seconds for number, seconds in self.saved.items() if int(number) <= step}
        trained, kept = self.trained, max(self.saved.values(), default=0.0)
        for kind in _TRAINING if trained > kept else ():
            lost = self.seconds[kind] * (1 - kept / trained)
            self.seconds[kind] -= lost
            self.seconds["lost"] += lost


def read_starts(workdir: str | os.PathLike) -> list[Start]:
    """The starts of a run, oldest first; none where nothing was kept of them, or it is damaged."""
    try:
        return [Start(**start) for start in read_json(located(workdir) / FILE) or ()]
    except TypeError:
        return []


def totals(starts: Sequence[Start]) -> dict[str, float]:
    """Seconds by kind over all starts; and "goodput", the share of all that went into steps that count."""
    found = {kind: sum(start.seconds[kind] for start in starts) for kind in KINDS}
    whole = sum(found.values())
    return found | {"goodput": found["step"] / whole if whole else 0.0}


def time_blocks(workdir: str | os.PathLike) -> list[Block]:
    """The section of a report; empty for a run that has kept nothing of its time."""
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
            f"{duration(whole)} in {len(starts)} start{'s' * (len(starts) != 1)}; goodput, the share of training "
            f"steps that count, is {found['goodput']:.1%}. The time between two starts is not counted, nor that in "
            "which a command is read and packages are imported."
        ),
    ]


def duration(seconds: float) -> str:
    """Hours, minutes and seconds; less than a minute in tenths of a second."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
