"""Parse the messages between chips from the lines of a compiled program, and count the bytes that they send in theory.

For B bytes, each of n chips sends to the next one in a ring

    for an all-reduce                     2 (n - 1) / n  B
    for an all-gather, a reduce-scatter     (n - 1) / n  B
    for a permutation                                    B

where B is the whole array for an all-gather and, for a reduce-scatter, the array before it is scattered. Slices of a
multi-slice program exchange arrays through their hosts; an all-reduce over s slices sends 2 (s - 1) / s B.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence

from vidjax.aot.arrays import ARRAY, sizes

BETWEEN_SLICES = "between slices"
_COUNTER = re.compile(r"\b[us]32\[\]")
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
      kind: such as all-reduce; `BETWEEN_SLICES` for transfers over the data-centre network.
      chain: text shared by all fusions that start, advance and end the same collective: their chain id or, without
        one, the channel, which collectives outside of fusions may share; empty if there is neither.
      arrays: types and sizes of the arrays in its type.
      bytes: bytes that the call produces: the summed gradient of an all-reduce, the whole array of an all-gather, the
        chip's own part of a reduce-scatter.
      sent: bytes that the chip sends.
    """

    kind: str
    chain: str
    arrays: tuple[tuple[str, str], ...]
    bytes: int
    sent: float


def message_of(line: str, chips: int, inside: Sequence[str] = ()) -> Message | None:
    """Return the message that an instruction sends; None if it sends nothing.

    Args:
      chips: number of chips of the program, over which a collective without groups runs.
      inside: the instructions of the computations that `line` calls; they name the groups of a fused reduce-scatter.
    """
    found = _SEND.search(line) or _COLLECTIVE.search(line) or _SCATTERED.search(line)
    if not found:
        return None
    named, produced = found.groupdict(), sizes(found["shape"])
    if named.get("begun") and named["kind"] != "all-reduce":  # its type lists operands, results and perhaps counters
        produced = sizes(_COUNTER.sub("", found["shape"]))
        produced = produced[len(produced) // 2 :]
    size = sum(produced)
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
    """Return the number of chips that a collective runs over; 0 if the line does not say."""
    if found := _LISTED.search(line):
        return len(found[1].split(","))
    if found := _COUNTED.search(line):
        return int(found[1])
    if found := _ALONG.search(line):
        mesh = {axis: int(size) for axis, size in re.findall(r"'([^']*)'=(\d+)", found["mesh"])}
        return math.prod(mesh[axis] for axis in re.findall(r"'([^']*)'", found["axes"]))
    return 0


def _count_slices(line: str) -> int:
    """Return the number of slices in a transfer, written {1,2} or {1:4}; two if the line does not say."""
    found = _SLICES.search(line)
    if not found:
        return 2
    spans = [list(map(int, span.split(":"))) for span in found[1].split(",")]
    return sum(span[-1] - span[0] + 1 for span in spans)
