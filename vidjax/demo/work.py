"""Work that a visitor waits for: a bar moves on the page while it is done, though nobody knows how long it takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from vidjax.demo.uploads import Tell

_PATIENCE, _EVERY = 0.5, 0.25  # seconds: before a bar is shown, and between two of its moves
_HALF = 15.0  # seconds at which a bar is half full that has nothing else to go by
R = TypeVar("R")
Advance = Callable[[float], None]


def watched(tell: Tell, words: str, work: Callable[[Advance], R]) -> R:
    """Do work in a thread of its own, and tell how far it is.

    Args:
      tell: is given the share that is done and words for it.
      words: what is done.
      work: calls its argument with the share that it has done since its last call; where it does not, as while it
        compiles, the bar goes by the clock, ever slower.
    """
    done = [0.0]
    found: list[R] = []
    failed: list[BaseException] = []

    def advance(share: float) -> None:
        done[0] += share

    def run() -> None:
        try:
            found.append(work(advance))
        except BaseException as error:  # raised again where it is waited for
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
