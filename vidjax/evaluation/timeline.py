"""The timeline of a video: the answers of consecutive windows, joined into segments with one answer each.

Windows may overlap, so the answer of a window is used for the time that is nearer to its middle than to the middle of
any other window. Windows cannot resolve less than half their length, so a shorter segment, called a flicker, is merged
into its neighbours.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Integer

_ROUNDING = 1e-6  # seconds


@dataclasses.dataclass(frozen=True)
class Segment:
    """A segment of time with one answer.

    Attributes:
      start, end: seconds.
      number: the answer's number, its column in the shares.
      probability: the answer's mean probability over the windows of the segment.
      windows: number of windows in the segment.
      agree: number of these windows whose own best answer is this one or, if answers may overlap, in which it is
        likely; the others are flickers.
    """

    start: float
    end: float
    number: int
    probability: float
    windows: int
    agree: int


def own_times(times: Float[np.ndarray, "w 2"]) -> Float[np.ndarray, "w 2"]:
    """Return the start and end, in seconds, of the time for which each window's answer is used.

    This time reaches half-way to the middles of the neighbouring windows, but not beyond the window itself.

    Args:
      times: start and end of each window, in order of time.
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
    """Return the timeline of mutually exclusive answers: the most probable answer at each time.

    Args:
      times: start and end of each window.
      shares: the probability of each answer in each window.
      threshold: segments with a lower probability are left out.
    """
    return [segment for segment, _ in _runs(times, shares) if segment.probability >= threshold]


def likely_segments(
    times: Float[np.ndarray, "w 2"], shares: Float[np.ndarray, "w k"], threshold: float
) -> list[Segment]:
    """Return the timeline of answers that may overlap: the segments in which each answer is likely, ordered by start.

    Args:
      times: start and end of each window.
      shares: the probability of each answer in each window.
      threshold: the minimum probability of a likely answer.
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
    """Return the segments without flickers, each with the slice of its windows."""
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
    """Merge runs that are too short into their neighbours, the shortest first.

    A run is divided between its two neighbours at the point that makes their answers most probable together.
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
    """Return the first window of each run of equal answers, and the window after its last."""
    edges = np.flatnonzero(np.diff(best)) + 1
    return np.append(0, edges), np.append(edges, len(best))
