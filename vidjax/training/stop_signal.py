"""Stopping a run from outside: SIGTERM and SIGINT let the step finish, save a checkpoint and end the run.

A run stopped so exits with 128 + the signal's number (143 for SIGTERM, 130 for SIGINT): a scheduler that asked for
the stop sees it was heard, and a script does not take the run for a finished one.
"""

from __future__ import annotations

import contextlib
import signal
import threading


class StopSignal(contextlib.AbstractContextManager):
    """While entered, remembers the first SIGTERM or SIGINT; a second one acts as it would without this.

    Attributes:
      signal: the number of the signal received, or 0.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self):
        self.signal = 0
        self._before = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python cannot install handlers
            self._before = {number: signal.signal(number, self._remember) for number in self.SIGNALS}
        return self

    def __exit__(self, *exception) -> None:
        self._give_back()

    def _remember(self, number: int, frame) -> None:
        self.signal = number
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
