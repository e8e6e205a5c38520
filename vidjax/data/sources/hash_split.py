"""Divide videos into training and validation by a hash of each name, so that adding videos does not move others."""

from __future__ import annotations

import functools
import hashlib
import posixpath
import unicodedata
from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Integer


def position(name: str) -> float:
    """Hash a name to [0, 1): the same on every machine, whatever other names there are."""
    plain = unicodedata.normalize("NFC", name).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(plain).digest()[:8], "big") / 2**64


def held_out(
    names: Sequence[str],
    classes: Sequence[Hashable] | Integer[np.ndarray, " n"] | None,
    *,
    share: float,
    by: str = "video",
) -> Bool[np.ndarray, " n"]:
    """Choose the videos for validation: those whose names hash to a number below `share`.

    Every class of at least two videos (without classes, the whole set) has at least one video on each side: if the hash
    leaves a side empty, the nearest video moves there. A single video stays in training. When videos are added, only
    videos placed by these two rules may change sides.

    Args:
      names: paths relative to the root, with forward slashes.
      classes: the class of each video; an array holds numbers from 0. None to divide all videos together.
      share: the fraction of videos to hold out for validation, between 0 and 1.
      by: "video", or "folder" to divide whole folders, without regard to classes; a single folder stays in training.
    """
    if by == "folder":
        of_folder = functools.lru_cache(2**16)(position)
        places = np.fromiter((of_folder(posixpath.dirname(name)) for name in names), np.float64, len(names))
    else:
        places = np.fromiter(map(position, names), np.float64, len(names))
    out = places < share
    strata = np.zeros(len(out), np.int32) if classes is None or by == "folder" else _codes(classes)
    total = np.bincount(strata)
    inside = np.bincount(strata[out], minlength=len(total))
    one_sided = np.flatnonzero(((inside == 0) | (inside == total))[strata])
    one_sided = one_sided[np.argsort(strata[one_sided], kind="stable")]
    borders = np.flatnonzero(np.diff(strata[one_sided])) + 1
    for rows in np.split(one_sided, borders):
        out[rows] = _nearest(places[rows], share)
    return out


def _codes(classes: Sequence[Hashable] | Integer[np.ndarray, " n"]) -> Integer[np.ndarray, " n"]:
    if isinstance(classes, np.ndarray):
        return classes
    numbers = {label: number for number, label in enumerate(dict.fromkeys(classes))}
    return np.array([numbers[label] for label in classes], np.int32)


def _nearest(places: Float[np.ndarray, " n"], share: float) -> Bool[np.ndarray, " n"]:
    """Divide videos that hash to one side of `share` by moving the nearest across; if all are equal, hold out none."""
    if len(places) == 0 or places.min() == places.max():
        return np.zeros(len(places), bool)
    return places == places.min() if places.min() >= share else places != places.max()
