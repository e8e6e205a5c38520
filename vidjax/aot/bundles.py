"""Count the cycles of Pallas kernels in their TPU schedules; each instruction bundle counts as often as its loops run.

The compiler does not estimate a kernel's time, but can write its schedule. A TPU issues one bundle per cycle and may
wait for memory in between, so the count is a lower bound. The flags for writing schedules are undocumented, and later
compilers may lack them.
"""

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path

_FILE = re.compile(r"(\d+)-(.+)-\d+-(original|final_bundles|deduplication-map)\.txt")
_KEY = re.compile(r"^key:(.+)\n.*\n.*\n((?: +.+\n?)*)", re.MULTILINE)
_LOOP = re.compile(r" *loop: start=(-?\d+), step=(\d+), limit=(-?\d+)")
_STAGE = re.compile(r"/\* iteration index, stage = (\d+)")
_BUNDLE = re.compile(r"\s*(?:0x[0-9a-f]+|\d+)\s+([A-Z]{2})?\s*:")
_BEGIN = re.compile(r"Start region (\d+)")
_END = re.compile(r"End region (\d+)")
_EXIT = re.compile(r"(%\S+) = scmp\.ge\.s32\.totalorder (?:\(%\S+\), )?%\S+, (-?\d+) /\* loop exit test \*/")
_BRANCH = re.compile(r"sbr\.rel \(!(%\S+)\) target = \$region(\d+)")


def dump_flags(folder: str | Path) -> str:
    """Return the LIBTPU_INIT_ARGS that make the TPU compiler write schedules to `folder`.

    Set them before the compiler is first used. For a program from a compilation cache, no schedules are written.
    """
    passes = "^(original|final_bundles|deduplication-map)$"
    return f"--xla_jf_dump_to={folder} --xla_jf_dump_llo_text=true --xla_jf_dump_llo_pass_label_regex={passes}"


def kernel_cycles(folder: str | Path, names: Iterable[str]) -> dict[str, int | None]:
    """Return the cycles of one call of each kernel in the program that was dumped last.

    Args:
      folder: the folder given to `dump_flags`.
      names: names of instructions, as in the text of the compiled program, without "%"; equal kernels share a schedule.

    Returns:
      cycles by name; None if there is no schedule, or if it does not show how often its loops run. Milliseconds are
      1e3 * cycles / clock.
    """
    programs: list[tuple[int, Path]] = []
    files: dict[tuple[str, str], tuple[int, Path]] = {}
    for path in Path(folder).iterdir():
        if found := _FILE.fullmatch(path.name):
            time, name, kind = int(found[1]), found[2], found[3]
            if kind == "deduplication-map":
                programs.append((time, path))
            files[name, kind] = max((time, path), files.get((name, kind), (0, path)))
    if not programs:
        return dict.fromkeys(names)
    begun, program = max(programs)
    twins = {twin: key for key, lines in _KEY.findall(program.read_text()) for twin in lines.split()}

    def cycles(name):
        found = [files.get((twins.get(name, name), kind)) for kind in ("original", "final_bundles")]
        original, final_bundles = (text[1] if text and text[0] >= begun else None for text in found)
        if original is None or final_bundles is None:
            return None
        return schedule_cycles(original.read_text(), final_bundles.read_text())

    return {name: cycles(name) for name in names}


def schedule_cycles(original: str, final_bundles: str) -> int | None:
    """Return the cycles of one call of a kernel, or None if they cannot be counted.

    Both branches of a condition count. Cycles cannot be counted if the loops of the two texts do not match, or if a
    trip count is known only at run time.

    Args:
      original: the kernel's text before scheduling, which has the trip counts.
      final_bundles: the kernel's scheduled bundles.
    """
    count, loops = _read(final_bundles)
    times, known = [1] * count, iter(_limits(original))
    for loop in loops:
        # Some loops of the original are missing from the bundles, but the others come in the same order.
        turns = next((turns for limit, turns in known if limit == loop.limit), None)
        if turns is None:
            return None
        times[loop.first : loop.last + 1] = [turns * time for time in times[loop.first : loop.last + 1]]
    return sum(times) or None


@dataclasses.dataclass
class _Loop:
    """A loop in final bundles: its first and last bundle, and the count at which it ends, or None if not constant."""

    first: int
    last: int
    limit: int | None = None


def _read(final_bundles: str) -> tuple[int, list[_Loop]]:
    """Return the number of bundles, and the loops among them in the order of their first bundles."""
    limits = {predicate: int(limit) for predicate, limit in _EXIT.findall(final_bundles)}
    count, loops = 0, {}
    for line in final_bundles.splitlines():
        if bundle := _BUNDLE.match(line):
            count += 1
            if bundle[1] == "LB" and (begin := _BEGIN.search(line)):
                loops[begin[1]] = _Loop(count - 1, count - 1)
        for region in _END.findall(line):
            if region in loops:
                loops[region].last = count - 1
        for predicate, region in _BRANCH.findall(line):
            if region in loops:
                loops[region].limit = limits.get(predicate)
    return count, list(loops.values())


def _limits(original: str) -> list[tuple[int, int]]:
    """Return the counts at which loops end, and how often the loops run.

    The loop over a grid runs in stages, so it has extra turns at the end in which only its last stages run, such as
    writing results. These are not full turns and do not count.
    """
    found = []
    for line in original.splitlines():
        if loop := _LOOP.match(line):
            start, step, limit = map(int, loop.groups())
            found.append([limit, len(range(start, limit, step)), 0])
        elif found and (stage := _STAGE.search(line)):
            found[-1][2] = max(found[-1][2], int(stage[1]))
    return [(limit, turns - stages) for limit, turns, stages in found]
