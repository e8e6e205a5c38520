"""One video with its annotations, and the hash that identifies a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidjax.data.video.checked_file import CheckedFile
    from vidjax.data.video.readers import FrameWindow, StoredVideo

Interval = tuple[float, float, int]  # start and end in seconds, class


@dataclass(frozen=True)
class Row:
    """A video and its annotations.

    Attributes:
      video: a path, with or without a checksum; the bytes of a file; images in a folder; a place in records; or None
        for synthetic frames.
      label: class number; 0 where the row has another annotation to learn from.
      id: name for messages.
      target: numbers that a regression predicts.
      action: class numbers of the noun and the verb that make up an action; empty if there is none.
      intervals: the classes of a multi-label video and when they are seen, in seconds of the video; intervals may
        overlap, and run past the end.
      captions: sentences that describe the video.
      tokens: token ids of the captions, one tuple per caption, all of the same length.
      window: (start, end) of the part that the row is about, in seconds; None for the whole video.
      duration: annotated length of the video in seconds; 0 if it is not annotated.
      group: the person or thing shown; rows of a group must all be in the same split. Empty if unknown.
    """

    video: str | CheckedFile | bytes | FrameWindow | StoredVideo | None
    label: int
    id: str
    target: tuple[float, ...] = ()
    action: tuple[int, ...] = ()
    intervals: tuple[Interval, ...] = ()
    captions: tuple[str, ...] = ()
    tokens: tuple[tuple[int, ...], ...] = ()
    window: tuple[float, float] | None = None
    duration: float = 0.0
    group: str = ""


def content_id(parts: Iterable[object]) -> str:
    """A short hash of the parts' text, in order."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part}\n".encode())
    return digest.hexdigest()[:16]
