"""Handle SIGTERM and Ctrl-C: the process ends soon, whatever it is doing, and no completed step is lost.

While there is work to save, a signal is only recorded: the loop finishes its step, saves and exits. Otherwise the
signal raises SystemExit in the main thread. If that thread is busy in C++ code (XLA may compile for minutes) or waits
for a loader that hangs, it cannot raise; so a separate thread also listens, and ends the process two seconds later. A
second signal ends the process at once. In a notebook, the first Ctrl-C always waits for the main thread, so that the
variables survive; only a second one ends the process.

The exit code is 128 + the signal's number (143 for SIGTERM, 130 for SIGINT): a scheduler that requested the stop sees
that it was honoured, and a script does not take the run for finished.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import multiprocessing.util
import os
import select
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Generator

_PATIENCE = 2.0  # seconds for the main thread to exit by itself
_CLEANING = 1.5  # seconds for the last words and for loader workers to end, before the process is ended
at_leave: list[Callable[[int], None]] = []  # called with the exit code by `leave`; see `vidjax.training.peers`


class Interrupted(BaseException):
    """Raised to end a wait inside `StopSignal.interrupts`."""


class StopSignal(contextlib.AbstractContextManager):
    """A context manager that handles SIGTERM and SIGINT; outside the main thread it does nothing.

    Attributes:
      signal: number of the first signal received, or 0.
      unsaved: whether there is work to save, in which case the first signal is only recorded.
      sentence: returns the message to print when a signal ends the process; empty for none.
      last_words: called once before the message is printed, for example to write a report.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self, sentence: Callable[[], str] = lambda: "vidjax: stopped"):
        self.signal, self.unsaved = 0, False
        self.sentence: Callable[[], str] = sentence
        self.last_words: Callable[[], None] = lambda: None
        self._waiting, self._patience = False, _PATIENCE
        self._before = {}
        self._spoken = threading.Lock()

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python cannot install handlers
            self._heard, self._ears = os.pipe()
            os.set_blocking(self._ears, False)
            self._thread = threading.Thread(target=self._listen, daemon=True, name="stop signal")
            self._thread.start()
            self._before = {number: signal.signal(number, self._hear) for number in self.SIGNALS}
            self._wakeup_before = signal.set_wakeup_fd(self._ears, warn_on_full_buffer=False)
        return self

    def __exit__(self, kind, error, trace) -> None:
        if not self._before:
            return
        if self.signal and kind is not None:
            self._speak()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.write(self._ears, b"\0")
        self._thread.join()
        os.close(self._heard)
        os.close(self._ears)
        if self.signal and kind is not None and not issubclass(kind, SystemExit):  # an error caused by the signal
            raise SystemExit(128 + self.signal) from None

    @contextlib.contextmanager
    def interrupts(self) -> Generator[None]:
        """Let a signal raise `Interrupted` in the block if work is unsaved; an earlier signal raises it at once."""
        self._waiting = True
        try:
            if self.signal:
                raise Interrupted
            yield
        finally:
            self._waiting = False

    def _hear(self, number: int, frame) -> None:
        """Handle a signal; called in the main thread once it runs Python code."""
        if self.signal:
            return  # the other thread ends the process
        self.signal = number
        if self._waiting and self.unsaved:
            raise Interrupted
        if self.unsaved:
            return
        if _importing(frame):  # an exception would abort C++ code that is being loaded
            self._patience = 0.0
            return
        sys.unraisablehook = lambda _: None  # where Python cannot raise the exit, the other thread ends the process
        raise SystemExit(128 + number)

    def _listen(self) -> None:
        """Wait for signals in a separate thread, which C++ code in the main thread does not block."""
        heard: list[int] = []
        since = None
        while True:
            ready, _, _ = select.select([self._heard], [], [], 0.1 if heard else None)
            for number in os.read(self._heard, 64) if ready else b"":
                if not number:
                    return
                if number in self.SIGNALS:
                    heard.append(number)
                    if len(heard) == 1 and self.unsaved and self.sentence():
                        _say("stopping after this step is finished and saved; press Ctrl-C again to stop at once")
            if len(heard) > 1:
                leave(128 + heard[0])
            waits = self.unsaved or (heard == [signal.SIGINT] and _in_notebook())
            since = None if waits or not heard else since or time.monotonic()
            if since and time.monotonic() - since > self._patience:
                leave(128 + heard[0], self._speak)

    def _speak(self) -> None:
        """Run the last words and print the sentence, once; a second thread waits until that is done."""
        with self._spoken:
            words, self.last_words = self.last_words, lambda: None
            sentence, self.sentence = self.sentence, lambda: ""
            words()
            if line := sentence():
                _say(line)


@contextlib.contextmanager
def stoppable(*, program: bool, sentence: str = "vidjax: stopped") -> Generator[None]:
    """End the block on a signal, unless code inside handles it with its own `StopSignal`.

    Args:
      program: whether the block is the whole program; if so, end the process too, whatever its other threads do.
      sentence: the message to print.
    """
    try:
        with StopSignal(lambda: sentence):
            yield
    except SystemExit as stopped:
        if program and stopped.code in [128 + number for number in StopSignal.SIGNALS]:
            leave(int(stopped.code))
        raise


def leave(code: int, last_words: Callable[[], None] = lambda: None) -> None:
    """End this process now, with its loader workers and their shared resources, whatever its other threads do."""
    # The function that would run at exit: it closes loaders, ends child processes and releases their semaphores.
    at_exit = multiprocessing.util._exit_function  # ty: ignore[missing-attribute]  the stubs leave it out
    told = [functools.partial(tell, code) for tell in at_leave]
    threads = [threading.Thread(target=target, daemon=True) for target in (last_words, at_exit, *told)]
    sys.unraisablehook = threading.excepthook = lambda _: None
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + _CLEANING
    threads[1].join(_CLEANING / 2)
    for child in multiprocessing.active_children():  # such as a worker whose decoder hangs
        child.kill()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h")  # show the cursor, which a progress bar may have hidden
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def leave_on_signal() -> None:
    """End this process silently on a signal until a `StopSignal` is entered: so far, it only imports modules."""
    for number in StopSignal.SIGNALS:
        signal.signal(number, lambda number, _: os._exit(128 + number))


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules


def _importing(frame: types.FrameType | None) -> bool:
    while frame:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
