"""Batches on their way to the devices, one ahead of the step, and the time that the devices waited for them."""

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
    """Turns this process's part of each batch into global arrays.

    Each batch also carries whether this process was told to stop: the step adds this up, which is how all processes
    agree on the step to stop at without a further round of messages. A process that is alone agrees with itself, and
    does not wait for a batch once it was told.
    """

    def __init__(
        self,
        batches: Iterator[dict[str, np.ndarray]],
        sharding: NamedSharding,
        meter: Meter,
        stop: StopSignal,
        waiting: Callable[[Callable[[], str]], AbstractContextManager],
    ):
        """Take nothing yet.

        Args:
          batches: of this process.
          sharding: of the global arrays.
          meter: told of every batch, and how long it was waited for.
          stop: whether this process was told to.
          waiting: is around every wait, and is given what is waited for, such as `Telemetry.waiting`.
        """
        self._batches, self._sharding, self._meter, self._waiting = batches, sharding, meter, waiting
        self._stop, self._alone, self._which = stop, jax.process_count() == 1, "the first"

    def next(self, in_flight: jax.Array | None = None) -> dict[str, jax.Array] | None:
        """The next batch, on its way to the devices; None when this process, being alone, was told to stop.

        Args:
          in_flight: an output of the step that runs meanwhile; if it is still being computed when the data is there,
            nothing was waited for.
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
        """What is waited for, and how far it is where the loader tells."""
        counted = ""
        if isinstance(self._batches, Batches):
            counted = f": {self._batches.decoded} of {self._batches.videos} videos decoded"
        return f"waiting for {self._which} batch{counted}"
