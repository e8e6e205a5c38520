"""A thread that takes decoded rows from grain and makes batches of them before they are asked for."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vidjax.errors import DataError

if TYPE_CHECKING:  # it imports jax and orbax, which half of what imports this module does without
    import grain

CLOSING = 5.0  # seconds for what is under way
Batch = dict[str, np.ndarray]
Join = Callable[[Sequence[Batch]], Batch]


class ReadAhead:
    """Puts packs of rows together in a thread of its own, `ahead` batches before they are asked for."""

    def __init__(self, packs: grain.IterDataset, per_batch: int, rows: int, ahead: int, join: Join):
        """Begin to read.

        Args:
          packs: of so many `rows` each, in order.
          per_batch: packs of a batch, which `join` makes of them.
          ahead: batches that are ready or in hand.
        """
        self.decoded = self.read = 0  # rows: of the batch that is made next, and in all
        self._packs, self._per_batch, self._rows, self._join = packs, per_batch, rows, join
        self._ready: queue.Queue[Batch | Exception | None] = queue.Queue(max(1, ahead - 1))  # and one in hand
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True, name="batches")
        self._thread.start()

    def take(self, patience: float) -> Batch | None:
        """The next batch, or None at the end; raises what a row has raised.

        Raises:
          TimeoutError: after so many seconds without a row; they are counted one by one, so that the time in which the
            whole process stood still is none of them. 0 waits for ever.
        """
        read, waited = self.read, 0
        while True:
            try:
                batch = self._ready.get(timeout=1.0)
                break
            except queue.Empty:
                read, waited = self.read, waited + 1 if self.read == read else 0
            if 0 < patience <= waited:
                raise TimeoutError
        if isinstance(batch, Exception):
            raise batch
        return batch

    def close(self) -> None:
        """End the thread, and with it what decodes for it."""
        self._closing.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSING)

    def _read(self) -> None:
        # Workers inherit the mask of the thread that starts them: a preempted run still wants its batches while it
        # saves a checkpoint, and a Ctrl-C at the terminal goes to all processes.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        packs = iter(self._packs)
        try:
            while not self._closing.is_set():
                self._offer(self._join([self._pack(packs) for _ in range(self._per_batch)]))
                self.decoded = 0
        except StopIteration:
            self._offer(None)
        except RuntimeError as error:
            self._offer(_worker_ended(error))
        except Exception as error:  # whatever a row has raised is raised again where the batch is taken
            self._offer(error)
        finally:
            packs.close()

    def _pack(self, packs: Iterator[Batch]) -> Batch:
        if self._closing.is_set():
            raise StopIteration
        pack = next(packs)
        self.decoded += self._rows
        self.read += self._rows
        return pack

    def _offer(self, batch: Batch | Exception | None) -> None:
        while not self._closing.is_set():
            try:
                self._ready.put(batch, timeout=0.1)
            except queue.Full:
                continue
            return


def _worker_ended(error: RuntimeError) -> Exception:
    """grain's words on a worker that was killed, as an error for people; any other error as it is."""
    if "Worker process was terminated" not in str(error):
        return error
    return DataError(
        "a loader process was ended from outside, as a system does that runs out of memory; start again with the same "
        "workdir to go on, and with fewer data.workers if it happens again"
    )
