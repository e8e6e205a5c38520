"""Server metrics for Prometheus, exposed at /metrics."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Metrics of one server.

    Attributes:
      requests: responses of /predict by status code.
      seconds: duration of requests answered with 200, from the arrival of the request to the response.
      received: bytes of videos received.
      batch: clips per batch.
    """

    def __init__(self, waiting: Callable[[], int]):
        """Register the metrics; `waiting` returns the number of requests in flight."""
        self._registry = CollectorRegistry()
        self.requests = Counter("vidjax_requests", "Answers by status code.", ["status"], registry=self._registry)
        self.seconds = Histogram(
            "vidjax_request_seconds", "Time to an answer.", buckets=_SECONDS, registry=self._registry
        )
        self.received = Counter("vidjax_received_bytes", "Bytes of videos.", registry=self._registry)
        self.batch = Histogram(
            "vidjax_batch_clips", "Clips computed together.", buckets=(1, 2, 4, 8, 16, 32, 64), registry=self._registry
        )
        in_flight = Gauge("vidjax_requests_in_flight", "Requests received and not answered.", registry=self._registry)
        in_flight.set_function(waiting)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)
