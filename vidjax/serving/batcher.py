"""Batch clips across requests: whatever is waiting when the device becomes free, up to a maximum."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, UInt8

_PATIENCE = 0.25  # longest wait for more clips, as a fraction of the last batch's duration
_Waiting: TypeAlias = "tuple[np.ndarray, Future]"


class Batcher:
    """A thread that computes the clips of many other threads in batches.

    While one batch computes, the next one gathers. The next batch waits for as many clips as the last one had plus
    those that queued meanwhile, because clients that were just answered may send more. It waits at most for a fraction
    of the last batch's duration. A lone client is thus not delayed, and batches grow with the load. Batches are padded
    to a power of two, so that few sizes are compiled.
    """

    def __init__(
        self,
        compute: Callable[[UInt8[np.ndarray, "b t h w c"]], Float[np.ndarray, "b classes"]],
        most: int,
        observe: Callable[[int], None] = lambda clips: None,
    ):
        """Start the thread; call `warm` before the first clips.

        Args:
          most: maximum clips per batch, a power of two.
          observe: called with the number of clips in each batch.
        """
        self._compute, self._most, self._observe = compute, most, observe
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True, name="batcher")
        self._thread.start()

    @property
    def sizes(self) -> list[int]:
        """The compiled batch sizes."""
        return [1 << power for power in range(self._most.bit_length())]

    def warm(self, clip_shape: tuple[int, ...], advance: Callable[[], object]) -> None:
        """Compile all sizes before the first request; call `advance` after each."""
        for size in self.sizes:
            self._compute(np.zeros((size, *clip_shape), np.uint8))
            advance()

    def __call__(self, clips: UInt8[np.ndarray, "v t h w c"]) -> Float[np.ndarray, "v classes"]:
        """Return the outputs of clips; block until they are computed, and re-raise errors of the computation."""
        futures = []
        for clip in clips:
            future: Future = Future()
            self._queue.put((clip, future))
            futures.append(future)
        return np.stack([future.result() for future in futures])

    def close(self) -> None:
        """Compute the waiting clips and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        going, expected, patience = True, 1, 0.0
        while going:
            batch = self._gather(min(expected, self._most), patience)
            going = batch[-1] is not None
            began = time.monotonic()
            self._answer([waiting for waiting in batch if waiting])
            expected, patience = len(batch) + self._queue.qsize(), _PATIENCE * (time.monotonic() - began)

    def _gather(self, expected: int, patience: float) -> list[_Waiting | None]:
        """Take the waiting clips, at least one; a final None marks the end."""
        batch = [self._queue.get()]
        deadline = time.monotonic() + patience
        while len(batch) < self._most and batch[-1] is not None:
            left = deadline - time.monotonic() if len(batch) < expected else 0.0
            try:
                batch.append(self._queue.get(timeout=max(left, 0.0)))
            except queue.Empty:
                break
        return batch

    def _answer(self, batch: list[_Waiting]) -> None:
        if not batch:
            return
        padding = (1 << (len(batch) - 1).bit_length()) - len(batch)
        try:
            clips = np.stack([clip for clip, _ in batch])
            outputs = self._compute(np.pad(clips, ((0, padding), *((0, 0),) * (clips.ndim - 1))))
        except Exception as error:  # reaches the waiting callers; the next batch may succeed
            for _, future in batch:
                future.set_exception(error)
            return
        self._observe(len(batch))
        for (_, future), output in zip(batch, outputs, strict=False):
            future.set_result(output)
