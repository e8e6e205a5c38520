"""The time line of a video: what windows that follow each other say, as stretches of time with one answer each.

Windows overlap, so each speaks for the time nearer to its own middle than to that of any other. A window cannot resolve
what is shorter than half its length: such a flicker is counted to what is around it.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Integer

_ROUNDING = 1e-6  # seconds


@dataclasses.dataclass(frozen=True)
class Segment:
    """A stretch of time with one answer.

    Attributes:
      start, end: seconds.
      number: of the answer, a column of the shares that it was found in.
      probability: its mean over the windows of the segment.
      windows: how many there are.
      agree: how many of them say the same by themselves; the others are flickers.
    """

    start: float
    end: float
    number: int
    probability: float
    windows: int
    agree: int


def own_times(times: Float[np.ndarray, "w 2"]) -> Float[np.ndarray, "w 2"]:
    """What each window speaks for, start and end in seconds: up to half-way to the next one's middle, within itself.

    Args:
      times: start and end of each window, in the order of time.
    """
    between = times.mean(axis=1)
    between = (between[1:] + between[:-1]) / 2
    own = times.copy()
    own[1:, 0] = np.maximum(own[1:, 0], between)
    own[:-1, 1] = np.minimum(own[:-1, 1], between)
    return own


def best_segments(
    times: Float[np.ndarray, "w 2"], shares: Float[np.ndarray, "w k"], threshold: float = 0.0
) -> list[Segment]:
    """The time line of answers that exclude each other: of each stretch of time the most probable.

    Args:
      times: start and end of each window.
      shares: the probability of each answer in each window.
      threshold: a segment with a lower probability is left out.
    """
    return [segment for segment, _ in _runs(times, shares) if segment.probability >= threshold]


def likely_segments(
    times: Float[np.ndarray, "w 2"], shares: Float[np.ndarray, "w k"], threshold: float
) -> list[Segment]:
    """The time line of answers that may hold at once: of each answer the stretches where it is likely; by their start.

    Args:
      times: start and end of each window.
      shares: the probability of each answer in each window.
      threshold: the probability from which it is likely.
    """
    found = []
    for number in np.flatnonzero((shares >= threshold).any(axis=0)):
        share = shares[:, number]
        for segment, inside in _runs(times, np.stack([share < threshold, share >= threshold], axis=1).astype(float)):
            if segment.number:
                probability = float(share[inside].mean())
                found.append(dataclasses.replace(segment, number=int(number), probability=probability))
    return sorted(found, key=lambda segment: (segment.start, segment.number))


def _runs(times: Float[np.ndarray, "w 2"], shares: Float[np.ndarray, "w k"]) -> list[tuple[Segment, slice]]:
    """Runs of windows with one answer, without flickers, and the windows of each."""
    own, best = own_times(times), shares.argmax(axis=1)
    settled = _settle(best, shares, own, shortest=float(np.diff(times).mean()) / 2)
    runs = []
    for first, stop in zip(*(edges.tolist() for edges in _bounds(settled)), strict=True):
        inside, number = slice(first, stop), int(settled[first])
        probability, agree = float(shares[inside, number].mean()), int((best[inside] == number).sum())
        start, end = float(own[first, 0]), float(own[stop - 1, 1])
        runs.append((Segment(start, end, number, probability, stop - first, agree), inside))
    return runs


def _settle(
    best: Integer[np.ndarray, " w"], shares: Float[np.ndarray, "w k"], own: Float[np.ndarray, "w 2"], shortest: float
) -> Integer[np.ndarray, " w"]:
    """Give the windows of runs that are too short to the runs beside them, the shortest first.

    They are divided where the two that take them are most probable.
    """
    best = best.copy()
    while True:
        firsts, stops = _bounds(best)
        lengths = own[stops - 1, 1] - own[firsts, 0]
        run = int(lengths.argmin())
        if len(lengths) == 1 or lengths[run] >= shortest - _ROUNDING:
            return best
        first, stop = int(firsts[run]), int(stops[run])
        left, right = best[max(first - 1, 0)], best[min(stop, len(best) - 1)]
        before, after = shares[first:stop, left], shares[first:stop, right]
        cut = first + int(np.argmax(np.append(0.0, before.cumsum()) + after.sum() - np.append(0.0, after.cumsum())))
        cut = first if first == 0 else stop if stop == len(best) else cut
        best[first:cut], best[cut:stop] = left, right


def _bounds(best: Integer[np.ndarray, " w"]) -> tuple[Integer[np.ndarray, " runs"], Integer[np.ndarray, " runs"]]:
    """First window, and the one after the last, of each run of equal ones."""
    edges = np.flatnonzero(np.diff(best)) + 1
    return np.append(0, edges), np.append(edges, len(best))
