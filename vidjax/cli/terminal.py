"""Terminal output of verbs: answers on standard output, progress and notes on standard error, so --json stays JSON."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console

from vidjax.errors import one_line, printable

_UNSAFE = re.compile("[\x7f-\x9f\ud800-\udfff]")  # allowed in JSON, but control a terminal or have no UTF-8


def say(sentence: str) -> None:
    """Print a note for the user on standard error."""
    Console(stderr=True, soft_wrap=True).print(printable(sentence), highlight=False, markup=False)


def print_json(tree: Any) -> None:
    """Print a machine-readable answer, the only text on standard output."""
    sys.stdout.write(json_line(tree, indent=1) + "\n")


def print_paths(paths: Iterable[str | os.PathLike]) -> None:
    """Print the paths of written files, one per line, escaped by `printable`; `print_json` keeps them exact."""
    for path in paths:
        print(printable(os.fspath(path)))


def json_line(tree: Any, indent: int | None = None) -> str:
    """Return JSON without terminal control characters, on one line unless `indent`; NaN and infinity become null."""
    text = json.dumps(_finite(tree), indent=indent, ensure_ascii=False, allow_nan=False)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _finite(tree: Any) -> Any:
    """Return the tree with None in place of floats that JSON cannot represent."""
    if isinstance(tree, dict):
        return {key: _finite(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_finite(value) for value in tree]
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree


def segment_lines(segments: list[dict[str, Any]]) -> list[str]:
    """Format one line per segment of a timeline, in columns: its seconds, and its class or regression values."""
    wide = max((len(f"{segment['end']:.1f}") for segment in segments), default=0)
    lines = []
    for segment in segments:
        if "values" in segment:
            shown = "  ".join(f"{line['value']:+.3f} {one_line(line['name'])}" for line in segment["values"])
        else:
            shown = f"{segment['probability']:4.0%} {one_line(segment['label'])}"
        lines.append(f"{segment['start']:{wide}.1f} - {segment['end']:{wide}.1f} s  {shown}")
    return lines
