"""What verbs show: tables on standard output; progress and remarks on standard error, so that --json stays JSON."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from rich.console import Console

from vidjax.errors import printable

_OF_NO_JSON = re.compile("[\x7f-\x9f]")  # steer a terminal, and JSON leaves them as they are


def say(sentence: str) -> None:
    """A remark for the person at the keyboard."""
    Console(stderr=True, soft_wrap=True).print(printable(sentence), highlight=False, markup=False)


def print_json(tree: Any) -> None:
    """The machine-readable answer, alone on standard output."""
    sys.stdout.write(json_line(tree, indent=1) + "\n")


def json_line(tree: Any, indent: int | None = None) -> str:
    """JSON with nothing in it that steers a terminal; in one line without `indent`."""
    text = json.dumps(tree, indent=indent, ensure_ascii=False)
    return _OF_NO_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def segment_lines(segments: list[dict[str, Any]]) -> list[str]:
    """A line for each segment of a time line, in columns: its seconds, and its class or the numbers of a regression."""
    wide = max((len(f"{segment['end']:.1f}") for segment in segments), default=0)
    lines = []
    for segment in segments:
        if "values" in segment:
            shown = "  ".join(f"{line['value']:+.3f} {printable(line['name'])}" for line in segment["values"])
        else:
            shown = f"{segment['probability']:4.0%} {printable(segment['label'])}"
        lines.append(f"{segment['start']:{wide}.1f} - {segment['end']:{wide}.1f} s  {shown}")
    return lines
