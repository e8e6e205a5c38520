"""Divide training positions among the sources of a mixture, in proportion to their shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate

import grain


class Interleaved(grain.transforms.DatasetSelectionMap):
    """Map a training position to (source, number of earlier positions that took the same source).

    The sources choose one after another. Each takes its share of all positions, evenly spaced among those that earlier
    sources left. After any number of positions, the count of every source differs from its exact share by less than the
    number of sources. `grain.MapDataset.mix` does the same with weights rounded to a hundredth of the smallest.
    """

    def __init__(self, shares: Sequence[Fraction], length: int):
        """Convert the shares to whole numbers.

        Args:
          shares: the share of each source, above 0.
          length: the number of positions.
        """
        unit = math.lcm(*(share.denominator for share in shares))
        self._shares, self._length = [int(share * unit) for share in shares], length
        self._rests = list(accumulate(reversed(self._shares)))[::-1]  # sum of each source's share and all later ones

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[int, int]:
        place = int(index)
        for number, (share, rest) in enumerate(zip(self._shares, self._rests, strict=True)):
            left, left_next = place * (rest - share) // rest, (place + 1) * (rest - share) // rest
            if left == left_next:
                return number, place - left
            place = left
        raise AssertionError("the last source takes all positions that are left")
