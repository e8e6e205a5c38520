"""What chips send each other, read from a line of a compiled program, and the bytes that this takes on paper.

Of B bytes, each of n chips sends to the next one in a ring

    for an all-reduce                     2 (n - 1) / n  B
    for an all-gather, a reduce-scatter     (n - 1) / n  B
    for a permutation                                    B

where B of an all-gather is the whole array, and of a reduce-scatter n times the part that it leaves. Slices of a
multi-slice program exchange arrays through their hosts; an all-reduce over s slices takes 2 (s - 1) / s B.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence

from vidjax.aot.arrays import ARRAY, sizes

BETWEEN_SLICES = "between slices"
_COLLECTIVE = re.compile(
    r"= (?P<shape>.*?) (?P<kind>all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?P<begun>-start)?\("
)
_SCATTERED = re.compile(r"= (?P<shape>.*?) fusion\(.*calls=%?all-reduce-scatter")  # a TPU's reduce-scatter
_SEND = re.compile(r"= (?P<shape>.*?) send\(.*xla_megascale_runtime")
_CHAIN = re.compile(r'chain_id="(\d+)"')
_CHANNEL = re.compile(r"channel_id=(\d+)")
_LISTED = re.compile(r"replica_groups=\{\{([\d,]*)\}")
_COUNTED = re.compile(r"replica_groups=\[\d+,(\d+)\]<=")
_ALONG = re.compile(r"replica_groups=mesh\[(?P<mesh>[^\]]*)\].*?\{(?P<axes>'[^}]*)\}")
_SLICES = re.compile(r'_xla_megascale_target="\{([\d,:]+)\}')


@dataclasses.dataclass(frozen=True)
class Message:
    """One call of a collective on one chip.

    Attributes:
      kind: such as all-reduce; `BETWEEN_SLICES` for what goes over the data-centre network.
      chain: tells collectives apart that run beside other work: that of the fusions which carry one on, or a channel,
        which those that a program names itself may share.
      arrays: that it produces, types and sizes.
      bytes: that the call produces: the summed gradient of an all-reduce, the whole array of an all-gather, the own
        part of a reduce-scatter.
      sent: bytes that the chip sends.
    """

    kind: str
    chain: str
    arrays: tuple[tuple[str, str], ...]
    bytes: int
    sent: float


def message_of(line: str, chips: int, inside: Sequence[str] = ()) -> Message | None:
    """What an instruction sends, None for one that sends nothing.

    Args:
      chips: of the program, which a collective without groups runs over.
      inside: the instructions of what it calls, which name the groups of a fused reduce-scatter.
    """
    found = _SEND.search(line) or _COLLECTIVE.search(line) or _SCATTERED.search(line)
    if not found:
        return None
    named, produced = found.groupdict(), sizes(found["shape"])
    # What a started collective will produce comes after its operand, and is the larger.
    begun = named.get("begun") and found["shape"].startswith("(")
    size = max(produced, default=0) if begun else sum(produced)
    if found.re is _SEND:
        kind, slices = BETWEEN_SLICES, _count_slices(line)
        size, factor = max(produced), 2 * (slices - 1) / slices if "ALL_REDUCE" in line else 1
    else:
        kind, group = named.get("kind", "reduce-scatter"), next(filter(None, map(_group_size, (line, *inside))), chips)
        around = (group - 1) / group
        factor = {"all-reduce": 2 * around, "reduce-scatter": group - 1, "collective-permute": 1}.get(kind, around)
    chain = _CHAIN.search(line) or _CHANNEL.search(line)
    return Message(kind, chain[0] if chain else "", tuple(ARRAY.findall(found["shape"])), size, factor * size)


def _group_size(line: str) -> int:
    """How many chips a collective runs over; 0 where the line does not say."""
    if found := _LISTED.search(line):
        return len(found[1].split(","))
    if found := _COUNTED.search(line):
        return int(found[1])
    if found := _ALONG.search(line):
        mesh = {axis: int(size) for axis, size in re.findall(r"'([^']*)'=(\d+)", found["mesh"])}
        return math.prod(mesh[axis] for axis in re.findall(r"'([^']*)'", found["axes"]))
    return 0


def _count_slices(line: str) -> int:
    """How many slices take part in a transfer, written {1,2} or {1:4}; two where the line does not say."""
    found = _SLICES.search(line)
    if not found:
        return 2
    spans = [list(map(int, span.split(":"))) for span in found[1].split(",")]
    return sum(span[-1] - span[0] + 1 for span in spans)
