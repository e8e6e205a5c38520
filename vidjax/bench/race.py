"""Rounds of several contenders in turn, so that whatever else a machine does slows all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

Run = Callable[[int], None]  # does its work so many times, and waits for the last result
_ROUND = 0.3  # seconds; shorter calls are repeated within a round
_MOST = 50  # calls a round


def race(
    contenders: dict[str, Run],
    rounds: int,
    *,
    peers: Collection[str] = (),
    remark: Callable[[str], None] = print,
    clock: Callable[[], float] = time.perf_counter,
    processes: bool = False,
) -> dict[str, list[float]]:
    """Seconds a call of each contender, round by round.

    Args:
      contenders: by name; each is called twice before anything counts, to compile and to allocate.
      peers: those that may fail: they are left out with a remark, since their failure says nothing of vidjax.
      clock: tells the seconds.
      processes: whether a call is a whole process: it is called once before anything counts, and once a round.
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
        except Exception as error:  # whatever other people's code may raise
            if name not in peers:
                raise
            reason = (str(error).splitlines() or [""])[0]
            remark(f"{name} is left out: {type(error).__name__}: {reason}")
    for _ in range(rounds):
        for name, count in calls.items():
            seconds.setdefault(name, []).append(timed(contenders[name], count))
    return seconds
