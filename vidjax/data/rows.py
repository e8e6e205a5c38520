"""One labelled video, and the hash that tells one data set from another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A video (a path, the bytes of a file, or None in synthetic mode), its class number and a name for messages."""

    video: str | bytes | None
    label: int
    id: str


def content_id(parts: Iterable[object]) -> str:
    """A short hash over the text of the parts and their order."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part}\n".encode())
    return digest.hexdigest()[:16]
