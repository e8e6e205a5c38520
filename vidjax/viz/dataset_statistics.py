"""The numbers behind the charts of a data set: counts, quartiles and bins from the results of `vidjax check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from vidjax.data.audit import SplitAudit

_BINS = 40


def failures_of(about: SplitAudit) -> dict[str, int]:
    """The number of missing videos, and of unreadable videos by reason; the most frequent first."""
    counts = Counter(failure["reason"] for failure in about.unreadable)
    if about.missing:
        counts["not there"] += len(about.missing)
    return dict(counts.most_common())


def numbers_of(about: SplitAudit) -> dict:
    """The numbers that the charts of a split show."""
    sizes = Counter(f"{info.width}x{info.height}" for info in about.measured)
    return {
        "listed": about.listed,
        "read": len(about.measured),
        "unit": about.unit,
        "classes": about.class_counts,
        "seconds": _histogram([info.duration for info in about.measured]),
        "frames": _histogram([info.frames for info in about.measured]),
        "fps": dict(Counter(f"{info.fps:.2f}" for info in about.measured).most_common()),
        "short_side": _histogram([min(info.height, info.width) for info in about.measured]),
        "sizes": dict(sizes.most_common()),
        "failures": failures_of(about),
        "subjects": about.subjects,
        "targets": frames_by_target(about.targets)[0].tolist() if about.targets else [],
    }


def _histogram(values: Sequence[float]) -> dict:
    """Counts, quartiles and bins; empty without values."""
    if not len(values):
        return {}
    counts, edges = np.histogram(values, bins=bin_edges(values))
    quartiles = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    names = ("min", "lower_quartile", "median", "upper_quartile", "max")
    return {**dict(zip(names, quartiles.tolist(), strict=True)), "edges": edges.tolist(), "counts": counts.tolist()}


def bin_edges(values: Sequence[float]) -> np.ndarray:
    """The edges of bins over the values; for whole numbers, edges are half-way between them."""
    low, high = float(np.min(values)), float(np.max(values))
    whole = all(float(value).is_integer() for value in values)
    if whole:
        step = max(1, int(np.ceil((high - low + 1) / _BINS)))
        return np.arange(low - 0.5, high + step + 0.5, step)
    return np.linspace(low, high, _BINS + 1) if high - low > 1e-3 * max(high, 1) else np.array([low - 0.5, high + 0.5])


def frames_by_target(targets: Sequence[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """The number of frames at each pair of whole numbers (valence, arousal), and the bin edges."""
    edges = np.arange(-10.5, 11)
    return np.histogram2d(*np.array(targets).T, bins=(edges, edges))[0].astype(int), edges
