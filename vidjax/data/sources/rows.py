"""One labelled video with what is known of it, and the hash that tells one data set from another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidjax.data.video.readers import FrameWindow, StoredVideo

Interval = tuple[float, float, int]  # start and end in seconds, class


@dataclass(frozen=True)
class Row:
    """A video and what a data set says of it.

    Attributes:
      video: a path, the bytes of a file, frames that lie in a folder as pictures, a place in records, or None in
        synthetic mode.
      label: class number; 0 where a row has something else to learn from.
      id: a name for messages.
      target: numbers that a regression predicts.
      intervals: of a multi-label video, in its own seconds; they may overlap, and run past its end.
      captions: sentences that describe it.
      tokens: targets of a captioner, one tuple a caption, all equally long.
      window: seconds (start, end) that the row is about; None for the whole video.
      duration: of the video in seconds, as its annotations have it; 0 when they do not say.
      group: who or what is seen, which must not be on both sides of a split; empty when nothing is known of it.
    """

    video: str | bytes | FrameWindow | StoredVideo | None
    label: int
    id: str
    target: tuple[float, ...] = ()
    intervals: tuple[Interval, ...] = ()
    captions: tuple[str, ...] = ()
    tokens: tuple[tuple[int, ...], ...] = ()
    window: tuple[float, float] | None = None
    duration: float = 0.0
    group: str = ""


def content_id(parts: Iterable[object]) -> str:
    """A short hash over the text of the parts and their order."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part}\n".encode())
    return digest.hexdigest()[:16]
