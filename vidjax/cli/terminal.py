"""What verbs show: tables on standard output; progress and remarks on standard error, so that --json stays JSON."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Callable, Generator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

_PATIENCE = 2.0  # seconds of silence
_LIKELY = 0.5  # probability from which a class is named in a time line


def say(sentence: str) -> None:
    """A remark for the person at the keyboard."""
    Console(stderr=True, soft_wrap=True).print(sentence, highlight=False, markup=False)


def print_json(tree: Any) -> None:
    """The machine-readable answer, alone on standard output."""
    json.dump(tree, sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")


@contextlib.contextmanager
def progress(text: str, total: int | None = None) -> Generator[Callable[[], None]]:
    """A bar (or a spinner without a total) once the work has taken over two seconds; call the result at each step.

    Where standard error is a file or a pipe it is one line instead.
    """
    console = Console(stderr=True)
    count = (BarColumn(), MofNCompleteColumn()) if total else ()
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), *count, TimeElapsedColumn())
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task(text, total=total)
    timer = threading.Timer(_PATIENCE, bar.start if console.is_terminal else lambda: say(f"{text} ..."))
    timer.daemon = True
    timer.start()
    try:
        yield lambda: bar.advance(task)
    finally:
        timer.cancel()
        timer.join()
        if bar.live.is_started:
            bar.stop()


def time_lines(windows: list[dict[str, Any]]) -> list[str]:
    """A line for each window, in columns: its seconds, and its likely classes or, without one, its best."""
    likely = [_likely(window["top"]) for window in windows]
    wide = max((len(f"{window['end']:.1f}") for window in windows), default=0)
    name = max((len(line["label"]) for top in likely for line in top[:-1]), default=0)
    lines = []
    for window, top in zip(windows, likely, strict=True):
        shown = "  ".join(f"{line['probability']:4.0%} {line['label']:{name}}" for line in top)
        lines.append(f"{window['start']:{wide}.1f} - {window['end']:{wide}.1f} s  {shown}".rstrip())
    return lines


def _likely(top: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in top if line["probability"] >= _LIKELY] or top[:1]
