"""Rounds of several contenders in turn, so that whatever else a machine does slows all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

Run = Callable[[int], None]  # does its work so many times, and waits for the last result
_ROUND = 0.3  # seconds; shorter calls are repeated within a round
_MOST = 50  # calls a round


def race(
    contenders: dict[str, Run], rounds: int, *, peers: Collection[str] = (), remark: Callable[[str], None] = print
) -> dict[str, float]:
    """Seconds a call in the fastest round of each contender.

    Args:
      contenders: by name; each is called twice before anything counts, to compile and to allocate.
      peers: those that may fail: they are left out with a remark, since their failure says nothing of vidjax.
    """
    calls, best = {}, {}
    for name, run in contenders.items():
        try:
            run(1)
            calls[name] = min(_MOST, max(1, round(_ROUND / _seconds(run, 1))))
        except Exception as error:  # whatever other people's code may raise
            if name not in peers:
                raise
            reason = (str(error).splitlines() or [""])[0]
            remark(f"{name} is left out: {type(error).__name__}: {reason}")
    for _ in range(rounds):
        for name, count in calls.items():
            best[name] = min(best.get(name, float("inf")), _seconds(contenders[name], count) / count)
    return best


def _seconds(run: Run, count: int) -> float:
    start = time.perf_counter()
    run(count)
    return time.perf_counter() - start
