"""Read a compiled program: the compiler's cycle estimates and collectives, each counted as often as its loops run.

The text is that of `jax.stages.Compiled.as_text()` for a TPU. The estimates come from a cost model that is right to
within a factor of about two: they can rank variants, but not predict times. Pallas kernels have no estimates.
"""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Iterator

from vidjax.aot.arrays import main_memory_bytes
from vidjax.aot.collectives import Message, message_of

SCATTER = "all-reduce-scatter"  # prefix of the computations that a TPU's fused reduce-scatter calls
_PARTITIONS = re.compile(r"num_partitions=(\d+)")
_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{\s*$")
_CALLED = re.compile(r"(?:to_apply|calls|body|branch_computations)=\{?((?:%?[\w.\-]+(?:, )?)+)\}?")
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_NAME = re.compile(r"\s*(?:ROOT )?%?([\w.\-]+) = ")
_RESULT = re.compile(r"\s*(?:ROOT )?%?([\w.\-]+) = (.*?) [\w\-]+\(%")
_OPERANDS = re.compile(r" custom-call\(([^)]*)\)")


@dataclasses.dataclass(frozen=True)
class Collective:
    """One kind of communication of a program, on one chip.

    Attributes:
      calls: how often it runs.
      bytes: bytes that all calls together produce, as in `Message`.
      sent: bytes that the chip sends for them.
    """

    calls: int
    bytes: int
    sent: float


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A Pallas kernel of a program.

    Attributes:
      calls: how often it runs.
      bytes: the least that a call moves: the arrays in main memory that it reads or writes, each once.
    """

    calls: int
    bytes: int


class Program:
    """The text of a compiled program, by computation.

    Attributes:
      entry: the name of the computation that calls the others.
      chips: number of chips that run it together; in a multi-slice program, the chips of one slice.
    """

    def __init__(self, text: str):
        found = _PARTITIONS.search(text.partition("\n\n")[0])
        self.entry, self.chips = "", int(found[1]) if found else 1
        self._bodies: dict[str, list[str]] = {}
        name = ""
        for line in text.splitlines():
            if head := _HEAD.match(line):
                name = head.group(2)
                self._bodies[name] = []
                self.entry = name if head.group(1) else self.entry
            elif line == "}":
                name = ""
            elif name and line.startswith(" "):
                self._bodies[name].append(line)
            elif name and line:  # attributes of an instruction may span several lines
                self._bodies[name][-1] += line

    @property
    def estimated_cycles(self) -> int:
        """The sum of the compiler's `estimated_cycles` over all instructions."""
        return sum(times * cycles(line) for line, times, fused in self._walk(self.entry, 1, False) if not fused)

    @property
    def collectives(self) -> dict[str, Collective]:
        """Communication by kind, such as all-reduce.

        A collective that runs beside other work appears in each of the fusions that start, advance and end it.
        Collectives in fusions with the same kind, chain and arrays therefore count once.
        """
        found, seen = collections.defaultdict(lambda: Collective(0, 0, 0.0)), set()
        for line, times, fused in self._walk(self.entry, 1, False):
            message = self.message(line)
            if not message:
                continue
            if fused:
                one = message.kind, message.chain, message.arrays
                if one in seen:
                    continue
                seen.add(one)
            sum_ = found[message.kind]
            sizes = sum_.bytes + times * message.bytes, sum_.sent + times * message.sent
            found[message.kind] = Collective(sum_.calls + times, *sizes)
        return dict(sorted(found.items()))

    @property
    def kernels(self) -> dict[str, Kernel]:
        """Pallas kernels by the names of their instructions; the compiler does not estimate their time."""
        lines = (line for body in self._bodies.values() for line in body)
        made = {found[1]: found[2] for line in lines if (found := _RESULT.match(line))}
        calls, sizes = collections.Counter(), {}
        for line, times, _ in self._walk(self.entry, 1, False):
            if '"tpu_custom_call"' in line and (name := name_of(line)):
                operands = _OPERANDS.search(line)
                read = re.findall(r"%([\w.\-]+)", operands[1]) if operands else []
                calls[name] += times
                sizes[name] = sum(main_memory_bytes(made.get(array, "")) for array in (name, *read))
        return {name: Kernel(count, sizes[name]) for name, count in calls.items()}

    def instructions(self, name: str) -> list[str]:
        """Return the lines of a computation, in the order in which they run."""
        return self._bodies.get(name, [])

    def message(self, line: str) -> Message | None:
        """Return the message that an instruction sends; of the computations it calls, only reduce-scatters count."""
        inside = [text for name in called_by(line) if name.startswith(SCATTER) for text in self.instructions(name)]
        return message_of(line, self.chips, inside)

    def trip_count(self, line: str) -> int:
        """Return how often the loop of a `while` instruction runs."""
        if known := re.search(r'known_trip_count":\{"n":"(\d+)"', line):
            return int(known.group(1))
        conditions = re.findall(r"condition=%?([\w.\-]+)", line)
        tests = [text for condition in conditions for text in self.instructions(condition)]
        return max((int(limit) for text in tests for limit in re.findall(r" constant\((\d+)\)", text)), default=1)

    def _walk(self, name: str, times: int, fused: bool) -> Iterator[tuple[str, int, bool]]:
        """Yield instructions, how often each runs, and whether it is in a fusion, which has one cost as a whole."""
        for line in self.instructions(name):
            yield line, times, fused
            loop = self.trip_count(line) if " while(" in line else 1
            inside = fused or " fusion(" in line
            for inner in called_by(line):
                if not inner.startswith(SCATTER):  # its all-reduce never runs as such
                    yield from self._walk(inner, times * loop, inside)


def called_by(line: str) -> list[str]:
    """Return the names of the computations that an instruction calls."""
    return [name for names in _CALLED.findall(line) for name in re.findall(r"[\w.\-]+", names)]


def name_of(line: str) -> str:
    """Return the name of the instruction on a line; empty if there is none."""
    found = _NAME.match(line)
    return found[1] if found else ""


def cycles(line: str) -> int:
    """Return the compiler's estimate for an instruction; 0 if it has none."""
    found = _CYCLES.search(line)
    return int(found[1]) if found else 0
