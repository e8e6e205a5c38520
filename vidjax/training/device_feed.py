"""Feed batches to the devices, one ahead of the step, and measure how long the devices wait for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import jax
import numpy as np
from jax.sharding import NamedSharding

from vidjax.data.loader import Batches
from vidjax.training.mesh import global_batch
from vidjax.training.stop_signal import Interrupted, StopSignal
from vidjax.training.throughput import Meter


class Feed:
    """A feed that turns this process's part of each batch into global arrays.

    Each batch also carries a flag that says whether this process was asked to stop. The step combines the flags of all
    processes, so that they stop at the same step without further communication. A single process needs no agreement,
    and stops waiting for a batch as soon as it is asked to stop.
    """

    def __init__(
        self,
        batches: Iterator[dict[str, np.ndarray]],
        sharding: NamedSharding,
        meter: Meter,
        stop: StopSignal,
        waiting: Callable[[Callable[[], str]], AbstractContextManager],
    ):
        """Store the arguments; no batch is taken yet.

        Args:
          batches: this process's parts of the batches.
          sharding: sharding of the global arrays.
          meter: counts every batch and the time spent waiting for it.
          stop: tells whether this process was asked to stop.
          waiting: called with a function that describes a wait; returns the context manager to put around the wait,
            as `Telemetry.waiting` does.
        """
        self._batches, self._sharding, self._meter, self._waiting = batches, sharding, meter, waiting
        self._stop, self._alone, self._which = stop, jax.process_count() == 1, "the first"

    def next(self, in_flight: jax.Array | None = None) -> dict[str, jax.Array] | None:
        """Start sending the next batch to the devices and return it; None if the run's only process was asked to stop.

        Args:
          in_flight: an output of the step that runs meanwhile; if it is still being computed when the data arrives,
            the wait counts as 0.
        """
        since = time.monotonic()
        try:
            with self._waiting(self._progress), self._stop.interrupts() if self._alone else nullcontext():
                local = dict(next(self._batches))
        except Interrupted:
            return None
        self._which = "a"
        idle = in_flight is not None and in_flight.is_ready()  # ty: ignore[missing-attribute]  JAX's stub leaves it out
        self._meter.fed(time.monotonic() - since if idle else 0.0)
        local["stop"] = np.full(len(local["valid"]), self._stop.signal != 0)
        return global_batch(local, self._sharding)

    def _progress(self) -> str:
        """Describe the current wait, with its progress if the loader reports it."""
        counted = ""
        if isinstance(self._batches, Batches):
            counted = f": {self._batches.decoded} of {self._batches.videos} videos decoded"
        return f"waiting for {self._which} batch{counted}"
