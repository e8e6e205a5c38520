"""Heartbeats between the processes of a run: if one process ends or is lost, the others end with a clear message.

On its own, JAX notices a lost process only after 100 seconds and then aborts, and a process that ends with an error
leaves the others waiting in a collective. Here every process writes heartbeats to the key-value store that process 0
keeps for JAX, and an entry when it ends. Process 0 watches all heartbeats; the others watch process 0.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator
from typing import Any

from vidjax.errors import StalledError, UserError, printable
from vidjax.training import stop_signal

BEATS, ENDED = "vidjax/beat", "vidjax/ended"  # folders of the store, with one key per process
MOST_BETWEEN = 5.0  # longest time from one heartbeat to the next, in seconds
GRACE, STOPPING = 5.0, 60.0  # seconds that this process has to end on its own after another one failed, or was stopped
POSTING = 2.0  # seconds that the store has to accept a process's last entry
_watched: Peers | None = None


def process_name(number: int, host: str) -> str:
    """The name of a process in messages."""
    return f"process {number} on {host}"


def answers(address: str) -> bool:
    """Return whether something accepts connections at host:port."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=POSTING).close()
    except (OSError, ValueError):
        return False
    return True


class Peers:
    """Threads that watch the other processes of a run, until one of them or this one ends.

    Silence is counted in heartbeats of this process, not by a clock, so that a machine waking from suspension does not
    take the others for dead.
    """

    def __init__(self, client: Any, number: int, count: int, seconds: float, coordinator: str):
        """Write the first heartbeat of this process.

        Args:
          client: the client of JAX's distributed runtime.
          number: number of this process.
          count: number of all processes.
          seconds: a process without a heartbeat for this long counts as dead.
          coordinator: host:port of process 0.
        """
        self._client, self._number, self._count, self._seconds = client, number, count, seconds
        self._coordinator, self._host = coordinator, socket.gethostname()
        self._every = min(seconds / 10, MOST_BETWEEN)
        self._beaten = self._answered = 0
        self._beats, self._quiet = dict[int, str](), dict.fromkeys(range(count), 0)
        self._finished = set[int]()
        self._over, self._concluded, self._posting = threading.Event(), False, threading.Lock()
        self._beat()
        self._first_host = self._client.blocking_key_value_get(f"{BEATS}/0", int(1000 * seconds)).split()[1]

    @property
    def name(self) -> str:
        """The name of this process in messages."""
        return process_name(self._number, self._host)

    def start(self) -> None:
        """Start watching; also report it if a signal ends this process, or if JAX aborts it because process 0 ended."""
        stop_signal.at_leave.append(lambda code: self._post(code, f"{self.name} was stopped (exit code {code})"))
        if self._number:
            _on_abort(self._tell_abort)
        for target in (self._listen, self._count_answers):
            threading.Thread(target=target, daemon=True, name="peers").start()

    def finish(self) -> None:
        """Record that this process has done its work, so that nobody waits for it."""
        self._over.set()
        self._post(0, "")

    def end(self, code: int, sentence: str) -> None:
        """End this process and, within seconds, the others.

        Args:
          code: exit code.
          sentence: the message that the other processes print.
        """
        self._over.set()
        self._post(code, sentence)
        if not self._number:
            self._outlast()
        stop_signal.leave(code)

    def blame(self) -> str:
        """Find the lost process that may have caused an error; return a sentence about it, or an empty string."""
        silent, quiet = {0: f"0 {self._first_host}"}, 0
        with contextlib.suppress(Exception):  # raised by JAX when the store does not answer
            silent = self._read(BEATS)
            while quiet * self._every < min(3 * MOST_BETWEEN, self._seconds):
                time.sleep(self._every)
                if ended := self._ended_badly():
                    return ended[1]
                now, quiet = self._read(BEATS), quiet + 1
                silent = {n: beat for n, beat in silent.items() if now.get(n) == beat and self._concerns(n)}
                if not silent:
                    return ""
        number = min(silent)
        return self._gone(number, silent[number], quiet * self._every)

    def _concerns(self, number: int) -> bool:
        return number != self._number and number not in self._finished

    def _listen(self) -> None:
        """Send heartbeats and look for processes that have ended or, on process 0, have fallen silent."""
        while not self._over.wait(self._every):
            with contextlib.suppress(Exception):  # raised by JAX when the store does not answer; see `_count_answers`
                self._beat()
                if ended := self._ended_badly():
                    self._concluded = True
                    self._follow(*ended)
                    return
                if not self._number and (gone := self._silent()):
                    self.end(StalledError.exit_code, _said(gone))
                self._answered += 1

    def _count_answers(self) -> None:
        """End this process if process 0 stops answering; in a second thread, because a call to the store may block."""
        seen, quiet = -1, 0
        while not self._over.wait(self._every) and not self._concluded:
            seen, quiet = self._answered, quiet + 1 if self._answered == seen else 0
            if quiet * self._every >= self._seconds:
                self.end(StalledError.exit_code, _said(self._gone(0, f"0 {self._first_host}", self._seconds)))

    def _beat(self) -> None:
        self._beaten += 1
        beat = f"{self._beaten} {self._host}"
        self._client.key_value_set(f"{BEATS}/{self._number}", beat, allow_overwrite=True)

    def _silent(self) -> str:
        """A sentence about a process whose heartbeats have stopped; empty while all are alive."""
        for number, beat in self._read(BEATS).items():
            self._quiet[number] = self._quiet[number] + 1 if self._beats.get(number) == beat else 0
            self._beats[number] = beat
            if self._quiet[number] * self._every >= self._seconds and self._concerns(number):
                return self._gone(number, beat, self._seconds)
        return ""

    def _ended_badly(self) -> tuple[int, str] | None:
        """The exit code of a process that ended before its work was done, and a sentence about it; None if none did."""
        for number, words in self._read(ENDED).items():
            code, sentence = json.loads(words)
            if code:
                return code, sentence
            self._finished.add(number)
        return None

    def _follow(self, code: int, sentence: str) -> None:
        """End as another process did, unless the main thread ends by itself first."""
        if not self._over.wait(STOPPING if code > 128 else GRACE):
            self.end(code, _said(sentence))

    def _read(self, folder: str) -> dict[int, str]:
        return {int(key.rsplit("/", 1)[1]): value for key, value in self._client.key_value_dir_get(folder)}

    def _post(self, code: int, sentence: str) -> None:
        """Write this process's last entry for the others, once; give up on a store that does not answer."""
        if not self._posting.acquire(blocking=False):
            return

        def post():
            with contextlib.suppress(Exception):  # raised by JAX when the store no longer exists
                self._client.key_value_set(f"{ENDED}/{self._number}", json.dumps([code, sentence]))

        thread = threading.Thread(target=post, daemon=True)
        thread.start()
        thread.join(POSTING)

    def _outlast(self) -> None:
        """Keep process 0's store alive until the others have read why this process ends."""
        deadline = time.monotonic() + GRACE + 4 * self._every
        while len(self._read(ENDED)) < self._count and time.monotonic() < deadline:
            time.sleep(self._every / 4)

    def _gone(self, number: int, beat: str, seconds: float) -> str:
        return (
            f"{process_name(number, beat.split()[1])} has given no sign of life for {seconds:.0f} s: it was killed, or "
            "its machine is down or hangs. Run the same command on every host again to resume from the last checkpoint "
            f"(train.peer_seconds={self._seconds:g})"
        )

    def _tell_abort(self) -> None:
        """Explain JAX's abort if process 0 has ended; called during the abort, and silent if process 0 answers."""
        if answers(self._coordinator):
            return
        who = process_name(0, self._first_host)
        _said(f"{who}, which coordinates the others, has ended. Run the same command on every host again")
        os._exit(StalledError.exit_code)


def watch(client: Any, number: int, count: int, seconds: float, coordinator: str) -> None:
    """Watch the other processes of this run until it ends; see `Peers`."""
    global _watched
    _watched = Peers(client, number, count, seconds, coordinator)
    _watched.start()


@contextlib.contextmanager
def together() -> Generator[None]:
    """Wrap a program's work so that, in a run of several processes, none waits for one that ended with an error."""
    try:
        yield
    except UserError as error:
        if _watched:
            _said(str(error))
            _watched.end(error.exit_code, f"{_watched.name} has ended: {error}")
        raise
    except Exception as error:  # raised again below, once the others know
        if _watched:
            if blamed := _watched.blame():
                _watched.end(StalledError.exit_code, _said(blamed))
            traceback.print_exc()
            _watched.end(1, f"{_watched.name} has ended with an error; see its output: {_first_line(error)}")
        raise
    if _watched:
        _watched.finish()


def _first_line(error: Exception) -> str:
    return next(iter(f"{type(error).__name__}: {error}".splitlines()))


def _said(sentence: str) -> str:
    """Print the sentence in one piece, and return it."""
    sys.stderr.write(f"vidjax: {printable(sentence)}\n")
    sys.stderr.flush()
    return sentence


_kept: list[Any] = []  # callbacks that C calls; Python would otherwise free them


def _on_abort(tell: Callable[[], None]) -> None:
    """Call a function when C++ code aborts this process; Python's own signal handlers would run too late."""
    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda _: tell())
    _kept.append(handler)
    ctypes.CDLL(None).signal(signal.SIGABRT, handler)
