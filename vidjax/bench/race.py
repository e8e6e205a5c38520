"""Run rounds of several contenders in turn, so that other work on the machine slows all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

Run = Callable[[int], None]  # repeats its work this many times, and waits for the last result
_ROUND = 0.3  # seconds; shorter calls are repeated within a round
_MOST = 50  # calls per round


def race(
    contenders: dict[str, Run],
    rounds: int,
    *,
    peers: Collection[str] = (),
    remark: Callable[[str], None] = print,
    clock: Callable[[], float] = time.perf_counter,
    processes: bool = False,
) -> dict[str, list[float]]:
    """Return the seconds per call of each contender, round by round.

    Args:
      contenders: runs by name; each is called twice before timing starts, to compile and to allocate.
      rounds: rounds per contender.
      peers: contenders that may fail; they are then left out with a remark.
      remark: called with a message for each contender that is left out.
      clock: returns the time in seconds.
      processes: whether a call is a whole process, which is called once before timing starts and once per round.
    """

    def timed(run: Run, count: int) -> float:
        start = clock()
        run(count)
        return (clock() - start) / count

    calls, seconds = {}, {}
    for name, run in contenders.items():
        try:
            run(1)
            calls[name] = 1 if processes else min(_MOST, max(1, round(_ROUND / timed(run, 1))))
        except Exception as error:  # other people's code may raise anything
            if name not in peers:
                raise
            reason = (str(error).splitlines() or [""])[0]
            remark(f"{name} is left out: {type(error).__name__}: {reason}")
    for _ in range(rounds):
        for name, count in calls.items():
            seconds.setdefault(name, []).append(timed(contenders[name], count))
    return seconds
