"""Show the progress of work that takes over two seconds: the amount done, the speed and the time left."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from vidjax.errors import printable

_PATIENCE, _SILENCE = 2.0, 30.0  # seconds before anything is shown; without a bar, seconds between the first lines


class _Speed(ProgressColumn):
    def __init__(self, unit: str):
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.3g} {self._unit}/s" if task.speed else "")


@contextlib.contextmanager
def progress(
    text: str, total: int | None = None, *, unit: str = "videos", visible: bool = True
) -> Generator[Callable[..., None]]:
    """Show a bar, or a spinner without a total, once the work has taken over two seconds.

    If standard error is a file or a pipe, print occasional lines instead.

    Args:
      text: what is being done.
      total: amount of work.
      unit: unit of the total.
      visible: False shows nothing, for example on all processes except the first.

    Yields:
      A function to call with the amount done since the last call, by default 1; fractions are allowed.
    """
    console, text = Console(stderr=True), printable(text)
    counted = (BarColumn(), MofNCompleteColumn(), _Speed(unit)) if total else ()
    left = (TextColumn("left"), TimeRemainingColumn()) if total else ()
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), *counted, TimeElapsedColumn(), *left)
    bar = Progress(*columns, console=console, transient=True)
    task, since, over = bar.add_task(text, total=total), time.monotonic(), threading.Event()

    def tell():
        if over.wait(_PATIENCE):
            return
        if console.is_terminal:
            bar.start()
            return
        _print(console, f"{text} ...")
        pause = _SILENCE
        while total and not over.wait(pause):
            _print(console, _words(text, bar.tasks[0].completed, total, unit, time.monotonic() - since))
            pause *= 2

    teller = threading.Thread(target=tell, daemon=True)
    if visible:
        teller.start()
    try:
        yield lambda done=1: bar.advance(task, done)
    finally:
        over.set()
        if visible:
            teller.join()
        if bar.live.is_started:
            bar.stop()


def _words(text: str, done: float, total: int, unit: str, seconds: float) -> str:
    """Return a line of text to print instead of a bar."""
    if not done:
        return f"{text}: 0 of {total} {unit}"
    left = round(seconds / done * (total - done))
    clock = f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"
    return f"{text}: {int(done + 1e-6)} of {total} {unit}, {done / seconds:.3g} {unit}/s, {clock} left"


def _print(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
