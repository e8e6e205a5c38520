"""A run's throughput: clips per second, the share of time spent waiting for data, and model FLOP utilisation."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import jax

if TYPE_CHECKING:  # goodput imports the video libraries, which a machine that only times a step may lack
    from vidjax.training.goodput import Goodput

# Dense bf16 FLOP/s of one JAX device, from the manufacturers' data sheets.
PEAK_FLOPS = {
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5e": 197e12,
    "TPU v5": 459e12,
    "TPU v5p": 459e12,
    "TPU v6 lite": 918e12,
    "TPU v6e": 918e12,
    "NVIDIA A100": 312e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H200": 989e12,
}


def peak_flops(device_kind: str) -> float | None:
    """Peak bf16 FLOP/s of a device by its `device_kind`, or None when it is not in the table."""
    names = sorted((name for name in PEAK_FLOPS if device_kind.startswith(name)), key=len)
    return PEAK_FLOPS[names[-1]] if names else None


class Meter:
    """A meter of the throughput between two calls of `read`, from the batches fed in between.

    Args:
      clips_per_step: clips per step over all devices.
      flops_per_clip: FLOPs per clip of a training step (2 x MACs, forward and backward); if None, MFU is not reported.
      goodput: the run's time accounting; `fed` reports waits for data to it, and `read` includes its metrics time/*.
    """

    def __init__(self, clips_per_step: int, flops_per_clip: float | None, goodput: Goodput):
        self._clips, self._flops, self._goodput = clips_per_step, flops_per_clip, goodput
        self._compiled: dict[str, float] = {}
        self.start()

    def start(self) -> None:
        """Start a new measurement, which excludes what came before (compilation, evaluation, a save)."""
        self._steps, self._since, self._wait = 0, time.monotonic(), 0.0

    def compiled(self, seconds: float) -> None:
        """Record how long the step took to compile, or to load from the cache, for the next `read`."""
        self._compiled = {"perf/compile_s": seconds}

    def fed(self, waited: float) -> None:
        """Count a batch, and the seconds that the devices idled while waiting for it."""
        self._steps += 1
        self._wait += waited
        self._goodput.move("step", "data", waited)

    def read(self) -> dict[str, float]:
        """Metrics perf/* since the last call or `start`, if batches were fed, and time/* of the whole run."""
        seconds = time.monotonic() - self._since
        if not self._steps:
            return self._goodput.read()
        clips_per_s = self._clips * self._steps / seconds
        numbers = {
            "perf/clips_per_s": clips_per_s,
            "perf/step_s": seconds / self._steps,
            "perf/data_wait": min(self._wait / seconds, 1.0),
            **self._compiled,
            **self._goodput.read(),
        }
        peak = peak_flops(jax.devices()[0].device_kind)
        if peak and self._flops:
            numbers["perf/mfu"] = clips_per_s * self._flops / (peak * jax.device_count())
        self._compiled = {}
        self.start()
        return numbers
