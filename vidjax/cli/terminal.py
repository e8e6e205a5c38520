"""What verbs show: tables on standard output; progress and remarks on standard error, so that --json stays JSON."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from rich.console import Console

from vidjax.errors import printable

_OF_NO_JSON = re.compile("[\x7f-\x9f]")  # steer a terminal, and JSON leaves them as they are
_LIKELY = 0.5  # probability from which a class is named in a time line


def say(sentence: str) -> None:
    """A remark for the person at the keyboard."""
    Console(stderr=True, soft_wrap=True).print(printable(sentence), highlight=False, markup=False)


def print_json(tree: Any) -> None:
    """The machine-readable answer, alone on standard output."""
    text = json.dumps(tree, indent=1, ensure_ascii=False)
    sys.stdout.write(_OF_NO_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


def time_lines(windows: list[dict[str, Any]]) -> list[str]:
    """A line for each window, in columns: its seconds, and its likely classes or, without one, its best."""
    likely = [[line | {"label": printable(line["label"])} for line in _likely(window["top"])] for window in windows]
    wide = max((len(f"{window['end']:.1f}") for window in windows), default=0)
    name = max((len(line["label"]) for top in likely for line in top[:-1]), default=0)
    lines = []
    for window, top in zip(windows, likely, strict=True):
        shown = "  ".join(f"{line['probability']:4.0%} {line['label']:{name}}" for line in top)
        lines.append(f"{window['start']:{wide}.1f} - {window['end']:{wide}.1f} s  {shown}".rstrip())
    return lines


def _likely(top: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in top if line["probability"] >= _LIKELY] or top[:1]
