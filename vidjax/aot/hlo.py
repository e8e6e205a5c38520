"""Reading a compiled program: the compiler's cycle estimates and the collectives, a loop counted as often as it runs.

The text is that of `jax.stages.Compiled.as_text()` for a TPU. Estimates are a cost model's, good to rank variants with
(to a factor of about two), not to predict; Pallas kernels have none.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import re
from collections.abc import Iterator

_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{\s*$")
_CALLED = re.compile(r"(?:to_apply|calls|body|branch_computations)=\{?((?:%?[\w.\-]+(?:, )?)+)\}?")
_COLLECTIVE = re.compile(
    r"= (?P<shape>.*?) (?P<kind>all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\("
)
_SCATTERED = re.compile(r"= (?P<shape>.*?) fusion\(.*calls=%?all-reduce-scatter")  # a TPU's reduce-scatter
_CHANNEL = re.compile(r"channel_id=(\d+)")
_NAME = re.compile(r"\s*(?:ROOT )?%?([\w.\-]+) = ")
_ARRAY = re.compile(r"\b(pred|[a-z]+\d+\w*)\[([\d,]*)\]")
_IN_CORE = re.compile(r"\w+\[[\d,]*\]\{[^}]*S\([1-9]\)[^}]*\}")  # an array that is not in the main memory
_RESULT = re.compile(r"\s*(?:ROOT )?%?([\w.\-]+) = (.*?) [\w\-]+\(%")
_OPERANDS = re.compile(r" custom-call\(([^)]*)\)")


@dataclasses.dataclass(frozen=True)
class Collective:
    """One kind of communication of a program, on one chip.

    Attributes:
      calls: how often it runs.
      bytes: that all calls together produce on a chip: the summed gradient of an all-reduce, the whole array of an
        all-gather, the own part of a reduce-scatter.
    """

    calls: int
    bytes: int


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A Pallas kernel of a program.

    Attributes:
      calls: how often it runs.
      bytes: that a call moves at least: arrays that it reads or writes once, where they are in the main memory.
    """

    calls: int
    bytes: int


class Program:
    """The text of a compiled program, by computation."""

    def __init__(self, text: str):
        self._bodies: dict[str, list[str]] = {}
        self._entry = name = ""
        for line in text.splitlines():
            if head := _HEAD.match(line):
                name = head.group(2)
                self._bodies[name] = []
                self._entry = name if head.group(1) else self._entry
            elif line.startswith("}"):
                name = ""
            elif name:
                self._bodies[name].append(line)

    @property
    def estimated_cycles(self) -> int:
        """The sum of the compiler's `estimated_cycles` of all instructions."""
        cycles = 0
        for line, times, fused in self._walk(self._entry, 1, False):
            own = None if fused else re.search(r'"estimated_cycles":"(\d+)"', line)
            cycles += times * int(own.group(1)) if own else 0
        return cycles

    @property
    def collectives(self) -> dict[str, Collective]:
        """Communication by kind, such as all-reduce.

        One that runs beside other work is written down in each of the fusions that start, carry and end it: the same
        kind, channel and arrays are one.
        """
        calls, sizes, seen = collections.Counter(), collections.Counter(), set()
        for line, times, _ in self._walk(self._entry, 1, False):
            found, channel = _COLLECTIVE.search(line) or _SCATTERED.search(line), _CHANNEL.search(line)
            if not found:
                continue
            kind = found.groupdict().get("kind", "reduce-scatter")
            if channel:
                one = kind, channel[1], tuple(_ARRAY.findall(found["shape"]))
                if one in seen:
                    continue
                seen.add(one)
            calls[kind] += times
            sizes[kind] += times * _result_bytes(found["shape"], started="-start(" in line)
        return {kind: Collective(calls[kind], sizes[kind]) for kind in sorted(calls)}

    @property
    def kernels(self) -> dict[str, Kernel]:
        """The Pallas kernels by the names of their instructions; the compiler does not estimate their time."""
        lines = (line for body in self._bodies.values() for line in body)
        made = {found[1]: found[2] for line in lines if (found := _RESULT.match(line))}
        calls, sizes = collections.Counter(), {}
        for line, times, _ in self._walk(self._entry, 1, False):
            if '"tpu_custom_call"' in line and (named := _NAME.match(line)):
                name, operands = named[1], _OPERANDS.search(line)
                read = re.findall(r"%([\w.\-]+)", operands[1]) if operands else []
                calls[name] += times
                sizes[name] = sum(_main_memory_bytes(made.get(array, "")) for array in (name, *read))
        return {name: Kernel(count, sizes[name]) for name, count in calls.items()}

    def _walk(self, name: str, times: int, fused: bool) -> Iterator[tuple[str, int, bool]]:
        """Instructions, how often each runs, and whether it lies in a fusion, whose cost is that of the whole."""
        for line in self._bodies.get(name, ()):
            yield line, times, fused
            loop = self._trip_count(line) if " while(" in line else 1
            inside = fused or " fusion(" in line
            for called in _CALLED.findall(line):
                for inner in re.findall(r"[\w.\-]+", called):
                    if not inner.startswith("all-reduce-scatter"):  # its all-reduce is never done as one
                        yield from self._walk(inner, times * loop, inside)

    def _trip_count(self, line: str) -> int:
        if known := re.search(r'known_trip_count":\{"n":"(\d+)"', line):
            return int(known.group(1))
        conditions = re.findall(r"condition=%?([\w.\-]+)", line)
        tests = [text for condition in conditions for text in self._bodies.get(condition, ())]
        return max((int(limit) for text in tests for limit in re.findall(r" constant\((\d+)\)", text)), default=1)


def _main_memory_bytes(shape: str) -> int:
    """Bytes of an instruction's result, without what lies in the memory of a core."""
    return sum(_sizes(_IN_CORE.sub("", shape)))


def _sizes(shape: str) -> list[int]:
    """Bytes of every array of an instruction's result."""
    arrays = _ARRAY.findall(shape)
    return [math.prod(map(int, filter(None, dims.split(",")))) * _width(dtype) // 8 for dtype, dims in arrays]


def _result_bytes(shape: str, *, started: bool) -> int:
    """Bytes of an instruction's result; that of a started collective comes after its operand, and is the larger."""
    sizes = _sizes(shape)
    return max(sizes, default=0) if started and shape.startswith("(") else sum(sizes)


def _width(dtype: str) -> int:
    """Bits of an element, such as 16 of bf16 or 8 of f8e4m3fn."""
    return 8 if dtype == "pred" else int(re.findall(r"\d+", dtype)[0])
