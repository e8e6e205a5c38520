"""Run work that a visitor waits for, with a progress bar on the page even if its duration is unknown."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from vidjax.demo.uploads import Tell

_PATIENCE, _EVERY = 0.5, 0.25  # seconds before a bar is shown, and between its updates
_HALF = 15.0  # seconds at which a bar that only follows the clock is half full
R = TypeVar("R")
Advance = Callable[[float], None]


def watched(tell: Tell, words: str, work: Callable[[Advance], R]) -> R:
    """Run work in a thread and report its progress.

    Args:
      tell: called with the share that is done and a description.
      words: the description.
      work: calls its argument with the share done since the last call; while it does not, as during compilation, the
        bar follows the clock, ever more slowly.
    """
    done = [0.0]
    found: list[R] = []
    failed: list[BaseException] = []

    def advance(share: float) -> None:
        done[0] += share

    def run() -> None:
        try:
            found.append(work(advance))
        except BaseException as error:  # re-raised in the caller
            failed.append(error)

    since = time.monotonic()
    thread = threading.Thread(target=run, daemon=True, name=words)
    thread.start()
    thread.join(_PATIENCE)
    while thread.is_alive():
        seconds = time.monotonic() - since
        tell(min(max(done[0], 0.95 * seconds / (seconds + _HALF)), 1.0), f"{words}, {seconds:.0f} s so far")
        thread.join(_EVERY)
    if failed:
        raise failed[0]
    return found[0]
