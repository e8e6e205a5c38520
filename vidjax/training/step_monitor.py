"""Examine the metrics of each step once they are on the host, one step late."""

from __future__ import annotations

import math
from collections.abc import Mapping

import jax
import numpy as np

from vidjax.config import Config
from vidjax.data.mixtures import used_sources
from vidjax.errors import TrainingError
from vidjax.training.quarantine import Quarantine
from vidjax.training.step import HOST_KEYS
from vidjax.training.telemetry import Telemetry, say
from vidjax.training.throughput import Meter


class Watch:
    """A monitor that logs every `log_every` steps, fills the quarantine, and stops a run whose steps are not finite.

    With data.mixture, it logs the number of videos from each source since the previous line, as `data/videos/NAME`.

    Args:
      bad: `Recent.bad` of the restored state.

    Attributes:
      stop: whether a process of this run was asked to stop.
      streak: how many of the latest steps in a row were not finite. They changed no parameters, but whatever led to
        them may have ruined the parameters before.
      bad: how many of the latest steps in a row were not finite or were spikes.
      goes_back: whether the steps looked at so far call for a roll-back.
      last: the latest value of each logged metric.
    """

    def __init__(
        self, telemetry: Telemetry, meter: Meter, quarantine: Quarantine, config: Config, total: int, bad: int = 0
    ):
        self._telemetry, self._meter, self._quarantine, self._config = telemetry, meter, quarantine, config.train
        self._repeats = config.data.clips_per_decode
        self._videos = dict.fromkeys(used_sources(config.data), 0)
        self._total, self._waiting = total, None
        self._nonfinite = self._skipped = self._failures = 0
        self.stop, self.streak, self.bad, self.goes_back, self.last = False, 0, bad, False, {}

    def push(self, step: int, metrics: dict[str, jax.Array]) -> None:
        """Take the metrics of a step that may still be running, and look at those of the step before.

        Raises:
          TrainingError: after `max_nonfinite` steps in a row that were not finite, unless the run rolls back.
          DataError: when too many videos have failed.
        """
        waiting, self._waiting = self._waiting, (step, metrics)
        if waiting:
            self._look(*waiting)
        self.goes_back = 0 < self._config.roll_back_after <= self.bad

    def went_back(self) -> None:
        """Start counting bad steps from zero."""
        self.streak, self.bad, self.goes_back = 0, 0, False

    def flush(self) -> None:
        """Wait for the last step, look at it, and write everything logged to the run's folder."""
        waiting, self._waiting = self._waiting, None
        if waiting:
            self._look(*waiting)
        self._telemetry.flush()

    def _look(self, step: int, metrics: dict[str, jax.Array]) -> None:
        numbers = jax.device_get(metrics)
        host = {key: numbers.pop(key) for key in HOST_KEYS if key in numbers}
        self.stop = self.stop or bool(host.get("stop", False))
        nonfinite, skipped = bool(numbers["train/nonfinite"]), bool(numbers.get("train/skipped", False))
        self.streak = self.streak + 1 if nonfinite else 0
        self.bad = self.bad + 1 if nonfinite or skipped else 0
        self._nonfinite += nonfinite
        self._skipped += skipped
        if skipped:
            say(f"step {step} is skipped: {_spike(numbers)} (optim.skip_spikes)")
        if "failed" in host:
            self._failures += int((host["failed"] >= 0).sum())
            self._quarantine.add(step, host["failed"], host["failed_reason"])
        if "source" in host:
            counts = np.bincount(host["source"], minlength=len(self._videos)) // self._repeats
            for name, count in zip(self._videos, counts.tolist(), strict=True):
                self._videos[name] += count
        self._telemetry.advance(step)
        most = self._config.max_nonfinite
        too_many = self.streak >= most and not self._config.roll_back_after
        if step % self._config.log_every == 0 or step == self._total or too_many:
            self._log(step, {name: float(value) for name, value in numbers.items()})
        if too_many or (step == self._total and self.streak > 1 and not self.goes_back):
            limit = f" (train.max_nonfinite={most})" * too_many
            raise TrainingError(
                f"{self.streak} steps in a row had {_not_finite(numbers)}{limit}, the last of them step {step}; they "
                "changed no parameters and were not saved. Lower optim.base_lr, set optim.clip_norm, or look at the "
                "data"
            )

    def _log(self, step: int, numbers: dict[str, float]) -> None:
        counts = {"train/nonfinite": float(self._nonfinite), "train/decode_failures": float(self._failures)}
        if "train/skipped" in numbers:
            counts["train/skipped"] = float(self._skipped)
        self._nonfinite = self._skipped = self._failures = 0
        counts |= {f"data/videos/{name}": float(count) for name, count in self._videos.items()}
        self._videos = dict.fromkeys(self._videos, 0)
        numbers |= counts | self._meter.read()
        self.last |= numbers
        self._telemetry.log(step, numbers)


def _not_finite(numbers: Mapping[str, np.ndarray]) -> str:
    """Describe what was not finite in a step."""
    loss = float(numbers["train/loss"])
    if not math.isfinite(loss):
        return f"a loss that is not finite ({loss})"
    return f"gradients that are not finite (the last at a loss of {loss:.4g})"


def _spike(numbers: Mapping[str, np.ndarray]) -> str:
    """Describe what exceeded its limit in a skipped step."""
    named = {"loss": "its loss", "grad_norm": "its gradient norm"}
    found = {
        words: (float(numbers[f"train/{key}"]), float(numbers[f"train/{key}_limit"])) for key, words in named.items()
    }
    return " and ".join(
        f"{words} of {value:.4g} is above {limit:.4g}" for words, (value, limit) in found.items() if value > limit
    )
