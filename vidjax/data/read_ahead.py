"""A thread that collects decoded rows from grain into batches before they are needed."""

from __future__ import annotations

import multiprocessing.util
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vidjax.errors import DataError

if TYPE_CHECKING:  # grain imports jax and orbax, which many importers of this module do not need
    import grain

CLOSING = 5.0  # seconds to wait for work in progress
Batch = dict[str, np.ndarray]
Join = Callable[[Sequence[Batch]], Batch]


class ReadAhead:
    """A thread that assembles batches from packs of rows, up to `ahead` batches before they are needed."""

    def __init__(self, packs: grain.IterDataset, per_batch: int, rows: int, ahead: int, join: Join):
        """Start reading.

        Args:
          packs: packs of `rows` rows each, in order.
          per_batch: packs per batch.
          ahead: batches that are ready or being assembled.
          join: combines the packs of a batch.
        """
        self.decoded = self.read = 0  # rows decoded for the next batch, and rows read in total
        self._packs, self._per_batch, self._rows, self._join = packs, per_batch, rows, join
        self._ready: queue.Queue[Batch | Exception | None] = queue.Queue(max(1, ahead - 1))  # another is in progress
        self._closing, self._ending, self._ended = threading.Event(), threading.Event(), threading.Event()
        # Runs before two of grain's finalizers: the one that would close the workers a second time (priority 1), and
        # the one for the threads that free their shared memory (15).
        self._at_exit = multiprocessing.util.Finalize(None, self._end, exitpriority=16)
        self._thread = threading.Thread(target=self._read, daemon=True, name="batches")
        self._thread.start()

    def take(self, patience: float) -> Batch | None:
        """Return the next batch, or None at the end; re-raise the error of a row.

        Raises:
          TimeoutError: after `patience` seconds without a row; 0 waits forever. Seconds are counted one by one, so
            that time in which the whole process was suspended does not count.
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
        """Stop the thread, and with it the workers that decode for it."""
        self._closing.set()
        if threading.current_thread() is not self._thread:
            self._ended.wait(CLOSING)  # before Python 3.13, an interrupted Thread.join marks the thread as ended

    def _end(self) -> None:
        """Close at exit; once grain is ending the workers, wait without a limit, since grain sets its own."""
        self.close()
        if self._ending.is_set():
            self._ended.wait()

    def _read(self) -> None:
        # Workers inherit the signal mask of this thread, which starts them. They must outlive SIGTERM, because a
        # preempted run still needs batches until it has saved, and Ctrl-C, which a terminal sends to all processes.
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
        except Exception as error:  # an error of a row is re-raised where the batch is taken
            self._offer(error)
        finally:
            self._ending.set()
            try:
                packs.close()
            finally:
                del packs  # the last reference: its semaphores are removed and unregistered before this process may end
                self._at_exit.cancel()
                self._ended.set()

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
    """Turn grain's error about a killed worker into a readable one; return any other error unchanged."""
    if "Worker process was terminated" not in str(error):
        return error
    return DataError(
        "a loader process was killed, as happens when the machine runs out of memory; start again with the same "
        "workdir to resume, and with fewer data.workers if it happens again"
    )
