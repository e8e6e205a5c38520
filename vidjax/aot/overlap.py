"""Find how much of a program's communication its schedule hides, by stepping through the program's instructions.

The time of a collective is the bytes that a chip sends, divided by the bandwidth. If the program starts a collective
and ends it after other instructions, the collective runs beside them for as long as they are estimated to take (by the
compiler or, for Pallas kernels, by the caller). At the end of the collective, the chip waits for the rest of it. A
TPU's program expresses this in three ways:

    all-gather-start .. all-gather-done      and likewise for other kinds
    send, recv .. recv-done                  to other slices, through the host; both name the same rendezvous
    AsyncCollectiveStart ..                  each in a fusion: the core itself advances the collective, but only in
    AsyncCollectiveDone                      these two fusions and in those between them that contain it

The chip waits for any other collective in full. Links within a slice carry one array after another, and so does the
network between slices.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence

from vidjax.aot.collectives import BETWEEN_SLICES, Message
from vidjax.aot.hlo import Program, called_by, cycles, name_of
from vidjax.aot.topology import Chip

_CALLS = re.compile(r" (?:while|call|conditional)\(")
_RENDEZVOUS = re.compile(r'_xla_host_transfer_rendezvous="([^"]*)"')
_DONE = re.compile(r" [a-z\-]+-done\(%?([\w.\-]+)")


@dataclasses.dataclass(frozen=True)
class Communication:
    """Seconds of communication in one call of a program, on one chip.

    Attributes:
      alone: time of all collectives, one after another.
      waited: the part of this time for which the chip waits.
    """

    alone: float
    waited: float


def communication(program: Program, chip: Chip, kernels: Mapping[str, float]) -> Communication:
    """Return the cost of a program's collectives under its schedule.

    Args:
      kernels: seconds per call of each Pallas kernel by name; a kernel that is not listed hides nothing.
    """
    return _Schedule(program, chip, kernels).run(program.entry).communication


@dataclasses.dataclass
class _Transfer:
    """An array under way: the seconds left, and how it is sent."""

    left: float
    between_slices: bool
    carried: bool  # whether the core itself advances it


@dataclasses.dataclass
class _Clock:
    """Seconds of a computation, and the transfers under way, in the order in which they began."""

    busy: float = 0.0
    alone: float = 0.0
    waited: float = 0.0
    under_way: dict[str, _Transfer] = dataclasses.field(default_factory=dict)

    @property
    def communication(self) -> Communication:
        return Communication(self.alone, self.waited)

    def begin(self, name: str, transfer: _Transfer) -> None:
        self.alone += transfer.left
        self.under_way[name] = transfer

    def work(self, seconds: float, carrying: Sequence[str] = ()) -> None:
        """Let the core compute for `seconds`, and advance the collectives named in `carrying`."""
        self.busy += seconds
        self._pass({True: seconds, False: seconds}, carrying)

    def end(self, name: str) -> None:
        """Wait for the rest of a transfer, if it is under way."""
        if transfer := self.under_way.pop(name, None):
            self.waited += transfer.left
            self._pass({transfer.between_slices: 0.0, not transfer.between_slices: transfer.left})

    def _pass(self, free: dict[bool, float], carrying: Sequence[str] = ()) -> None:
        """Advance transfers; `free` has the free seconds of the network between slices (True) and of links (False)."""
        for name, transfer in self.under_way.items():
            if not transfer.carried or name in carrying:
                hidden = min(transfer.left, free[transfer.between_slices])
                transfer.left -= hidden
                free[transfer.between_slices] -= hidden


class _Schedule:
    def __init__(self, program: Program, chip: Chip, kernels: Mapping[str, float]):
        self._program, self._chip, self._kernels = program, chip, kernels
        self._rendezvous: dict[str, str] = {}  # by the name of each recv

    def run(self, computation: str) -> _Clock:
        """Step through a computation, and wait at its end for every transfer."""
        clock = _Clock()
        for line in self._program.instructions(computation):
            if _CALLS.search(line):
                times = self._program.trip_count(line) if " while(" in line else 1
                for inner in map(self.run, called_by(line)):
                    clock.alone += times * inner.alone
                    clock.waited += times * inner.waited
                    clock.work(times * inner.busy)
            elif message := self._program.message(line):
                self._send(line, message, clock)
            elif " fusion(" in line or " async-start(" in line:
                self._fusion(line, clock)
            elif " recv(" in line and (met := _RENDEZVOUS.search(line)):
                self._rendezvous[name_of(line)] = met[1]
            elif done := _DONE.search(line):
                clock.end(self._rendezvous.get(done[1], done[1]))
            else:
                clock.work(self._seconds(line))
        for name in list(clock.under_way):
            clock.end(name)
        return clock

    def _send(self, line: str, message: Message, clock: _Clock) -> None:
        """Account for a collective outside fusions."""
        met = _RENDEZVOUS.search(line) if message.kind == BETWEEN_SLICES else None
        name = met[1] if met else name_of(line)
        clock.begin(name, self._transfer(message))
        if not met and "-start(" not in line:
            clock.end(name)

    def _fusion(self, line: str, clock: _Clock) -> None:
        """Account for a fusion, which may start, advance and end collectives, or for an async-start."""
        inside = list(self._inside(line))
        messages = {name_of(text): message for text in inside if (message := self._program.message(text))}
        if " async-start(" in line:
            for message in messages.values():
                clock.begin(name_of(line), self._transfer(message))
            return
        keys = {name: f"{message.kind} {message.chain}" for name, message in messages.items()}
        started, done = (
            {name for text in inside if f'"AsyncCollective{word}"' in text for name in re.findall(r"%([\w.\-]+)", text)}
            for word in ("Start", "Done")
        )
        for name, message in messages.items():
            if name in started or keys[name] not in clock.under_way:
                clock.begin(keys[name], self._transfer(message, carried=True))
        clock.work(self._seconds(line), tuple(keys.values()))
        for name in messages:
            if name in done:
                clock.end(keys[name])

    def _inside(self, line: str) -> Iterator[str]:
        """Yield the instructions of all computations that an instruction calls, recursively."""
        for name in called_by(line):
            for text in self._program.instructions(name):
                yield text
                yield from self._inside(text)

    def _seconds(self, line: str) -> float:
        return self._kernels.get(name_of(line), cycles(line) / self._chip.clock)

    def _transfer(self, message: Message, carried: bool = False) -> _Transfer:
        between = message.kind == BETWEEN_SLICES
        return _Transfer(message.sent / (self._chip.network if between else self._chip.link), between, carried)
