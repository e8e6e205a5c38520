"""Batches on their way to the devices, one ahead of the step, and the time that the devices waited for them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import jax
import numpy as np
from jax.sharding import NamedSharding

from vidjax.training.mesh import global_batch
from vidjax.training.stop_signal import StopSignal
from vidjax.training.throughput import Meter


class Feed:
    """Turns this process's part of each batch into global arrays.

    Each batch also carries whether this process was told to stop: the step adds this up, which is how all processes
    agree on the step to stop at without a further round of messages.
    """

    def __init__(
        self, batches: Iterator[dict[str, np.ndarray]], sharding: NamedSharding, meter: Meter, stop: StopSignal
    ):
        self._batches, self._sharding, self._meter, self._stop = batches, sharding, meter, stop

    def next(self, in_flight: jax.Array | None = None) -> dict[str, jax.Array]:
        """The next batch, on its way to the devices.

        Args:
          in_flight: an output of the step that runs meanwhile; if it is still being computed when the data is there,
            nothing was waited for.
        """
        since = time.monotonic()
        local = dict(next(self._batches))
        idle = in_flight is not None and in_flight.is_ready()  # ty: ignore[missing-attribute]  JAX's stub leaves it out
        self._meter.fed(time.monotonic() - since if idle else 0.0)
        local["stop"] = np.full(len(local["valid"]), self._stop.signal != 0)
        return global_batch(local, self._sharding)
