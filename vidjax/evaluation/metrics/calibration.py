"""Calibration of probabilities: reliability and expected calibration error (Guo et al. 2017, section 2)."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

BINS = 15  # as in the paper's tables


@dataclasses.dataclass(frozen=True)
class Reliability:
    """Answers binned by confidence, in bins of equal width over (0, 1]; a bin excludes its lower end.

    Attributes:
      counts: number of answers in each bin.
      accuracy: share of right answers in each bin; NaN for an empty bin.
      confidence: mean confidence in each bin; NaN for an empty bin.
    """

    counts: Int[np.ndarray, " bins"]
    accuracy: Float[np.ndarray, " bins"]
    confidence: Float[np.ndarray, " bins"]

    @property
    def ece(self) -> float:
        """The expected calibration error (equation 3): |accuracy - confidence| per bin, averaged over answers."""
        filled = self.counts > 0
        gaps = np.abs(self.accuracy - self.confidence)[filled]
        return float(np.average(gaps, weights=self.counts[filled]))


def reliability(confidence: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"], bins: int = BINS) -> Reliability:
    """Bin answers by their confidence.

    Args:
      confidence: the probability of each answer, in [0, 1]; 0 falls into the first bin. At least one answer is needed.
      right: whether each answer is right.
    """
    number = np.clip(np.ceil(confidence.astype(np.float64) * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(number, minlength=bins)

    def mean(values):
        total = np.bincount(number, weights=values, minlength=bins)
        return np.divide(total, counts, out=np.full(bins, np.nan), where=counts > 0)

    return Reliability(counts, mean(right), mean(confidence))
