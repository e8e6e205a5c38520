"""The time of a program's communication, on paper.

With n chips and a link that sends L bytes a second in one direction, of B bytes

    an all-reduce takes                     2 (n - 1) / n  B / L
    an all-gather, a reduce-scatter, others   (n - 1) / n  B / L

where B of an all-gather is the whole array, and of a reduce-scatter n times the part that it leaves.
"""

from __future__ import annotations

from vidjax.aot.compiled import Compiled
from vidjax.aot.topology import CHIPS


def communication_ms(step: Compiled) -> float:
    """The time of all collectives if nothing hides it; 0 for one that does not fit."""
    sent = 0.0
    for kind, found in step.collectives.items():
        whole = found.bytes * step.chips if kind == "reduce-scatter" else found.bytes
        sent += (2 if kind == "all-reduce" else 1) * (step.chips - 1) / step.chips * whole
    return 1e3 * sent / CHIPS[step.topology.partition(":")[0]].link
