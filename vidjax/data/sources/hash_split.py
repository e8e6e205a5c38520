"""Dividing videos into training and validation by a hash of each name, so that videos added later move none."""

from __future__ import annotations

import hashlib
import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Hashable, Sequence


def position(name: str) -> float:
    """Where a name lies in [0, 1): the same on every machine, whatever other names there are."""
    plain = unicodedata.normalize("NFC", name).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(plain).digest()[:8], "big") / 2**64


def held_out(
    names: Sequence[str], classes: Sequence[Hashable] | None, *, share: float, by: str = "video"
) -> list[bool]:
    """Whether each video belongs to validation: when the hash of its name lies below `share`.

    A class of at least two videos, and without classes the whole set, has at least one on either side: where the hash
    leaves a side empty, it gets the nearest video. A single video stays in training. Only these exceptions may change
    when videos are added.

    Args:
      names: paths relative to the root, with forward slashes.
      classes: of each video; None to divide all videos together.
      share: of validation, between 0 and 1.
      by: "video", or "folder" to keep the videos of a folder together; folders are divided without regard to classes.
    """
    units = [posixpath.dirname(name) for name in names] if by == "folder" else names
    groups: dict[Hashable, dict[str, float]] = defaultdict(dict)
    strata = classes if classes is not None and by == "video" else [None] * len(units)
    for unit, stratum in zip(units, strata, strict=True):
        if unit not in groups[stratum]:
            groups[stratum][unit] = position(unit)
    chosen = {stratum: _chosen(places, share) for stratum, places in groups.items()}
    return [unit in chosen[stratum] for unit, stratum in zip(units, strata, strict=True)]


def _chosen(places: dict[str, float], share: float) -> set[str]:
    """The units of a group that go to validation."""
    if len(places) < 2:
        return set()
    below = {unit for unit, place in places.items() if place < share}
    if not below:
        return {min(places, key=places.__getitem__)}
    if len(below) == len(places):
        below.remove(max(places, key=places.__getitem__))
    return below
