"""How fast a run is: clips a second, the share of time it waited for data, and model FLOP utilisation."""

from __future__ import annotations

import time

import jax

# Dense bf16 FLOP/s of one device as JAX counts devices, from the makers' data sheets.
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
    """Measures between two calls of `read`.

    Args:
      clips_per_step: over all devices.
      flops_per_clip: of a training step (2 x MACs, forward and backward); None when the objective does not say.
    """

    def __init__(self, clips_per_step: int, flops_per_clip: float | None):
        self._clips, self._flops = clips_per_step, flops_per_clip
        self._reset(step=0)

    def start(self, step: int) -> None:
        """Begin to measure after `step`; what was before (compilation, evaluation, a save) does not count."""
        self._reset(step)

    def waited(self, seconds: float) -> None:
        """Add time in which the device had nothing to do for lack of data."""
        self._wait += seconds

    def read(self, step: int) -> dict[str, float]:
        """perf/* since the last call or `start`; empty when no step was made."""
        steps, seconds = step - self._step, time.monotonic() - self._since
        if steps <= 0:
            return {}
        clips_per_s = self._clips * steps / seconds
        numbers = {
            "perf/clips_per_s": clips_per_s,
            "perf/step_s": seconds / steps,
            "perf/data_wait": min(self._wait / seconds, 1.0),
        }
        peak = peak_flops(jax.devices()[0].device_kind)
        if peak and self._flops:
            numbers["perf/mfu"] = clips_per_s * self._flops / (peak * jax.device_count())
        self._reset(step)
        return numbers

    def _reset(self, step: int) -> None:
        self._step, self._since, self._wait = step, time.monotonic(), 0.0
