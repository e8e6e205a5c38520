"""What a run says and keeps of its videos before its first step."""

from __future__ import annotations

from pathlib import Path

from vidjax.data.sources.base import VideoSource
from vidjax.files import write_json
from vidjax.training.telemetry import say

FILE = "data.json"


def say_reading(source: VideoSource, workdir: Path) -> None:
    """Say how a user's own videos were read and divided, and write it to data.json with the names in each split."""
    if source.reading is not None:
        say(source.reading.sentence)
        write_json(workdir / FILE, source.reading.record)
