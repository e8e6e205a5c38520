"""Clips of several requests computed together: whatever waits when the device is free, up to a number."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, UInt8

_Waiting: TypeAlias = "tuple[np.ndarray, Future]"


class Batcher:
    """Computes clips from many threads in one.

    Nothing waits for a batch to be full: while one is computed the next one gathers, so that a single client is not
    held up and batches grow with the load. A batch is filled up to a power of two, so that few sizes are compiled.
    """

    def __init__(
        self,
        compute: Callable[[UInt8[np.ndarray, "b t h w c"]], Float[np.ndarray, "b classes"]],
        most: int,
        observe: Callable[[int], None] = lambda clips: None,
    ):
        """Begin with `warm`.

        Args:
          most: clips of a batch, a power of two.
          observe: is told how many clips each batch has.
        """
        self._compute, self._most, self._observe = compute, most, observe
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True, name="batcher")
        self._thread.start()

    @property
    def sizes(self) -> list[int]:
        """Batch sizes that are compiled."""
        return [1 << power for power in range(self._most.bit_length())]

    def warm(self, clip_shape: tuple[int, ...], advance: Callable[[], object]) -> None:
        """Compile all sizes, before anybody waits for them; `advance` is called after each."""
        for size in self.sizes:
            self._compute(np.zeros((size, *clip_shape), np.uint8))
            advance()

    def __call__(self, clips: UInt8[np.ndarray, "v t h w c"]) -> Float[np.ndarray, "v classes"]:
        """Wait for the outputs of clips. What the computation raises is raised here."""
        futures = []
        for clip in clips:
            future: Future = Future()
            self._queue.put((clip, future))
            futures.append(future)
        return np.stack([future.result() for future in futures])

    def close(self) -> None:
        """Compute what waits, and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        going = True
        while going:
            batch = [self._queue.get()]
            while len(batch) < self._most and batch[-1] and not self._queue.empty():
                batch.append(self._queue.get())
            going = batch[-1] is not None
            self._answer([waiting for waiting in batch if waiting])

    def _answer(self, batch: list[_Waiting]) -> None:
        if not batch:
            return
        clips = np.stack([clip for clip, _ in batch])
        padding = (1 << (len(batch) - 1).bit_length()) - len(batch)
        try:
            outputs = self._compute(np.pad(clips, ((0, padding), *((0, 0),) * (clips.ndim - 1))))
        except Exception as error:  # those who wait hear of it; the next batch may go well
            for _, future in batch:
                future.set_exception(error)
            return
        self._observe(len(batch))
        for (_, future), output in zip(batch, outputs, strict=False):
            future.set_result(output)
