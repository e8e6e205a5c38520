"""Record how results were made: the command, machine and date of every start in a run's folder."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from vidjax.files import Place, write_json_lines
from vidjax.viz.document import Block, Code, Heading, Text

HISTORY = "history.jsonl"


@dataclasses.dataclass(frozen=True)
class Made:
    """One entry of a run's history, written at the end of a start.

    Attributes:
      act: what was done, such as `trained to step 200 of 200`.
      command: the command as it was typed, one flag per line.
      when: when the start ended, in UTC.
      machine: the machine and its software.
      results: the figures that the start ended with; may be empty.
      settings: for an evaluation, the settings that differ from the run's.
      why: the reason for a stop, as the name of a signal or the message of an error.
    """

    act: str
    command: str
    when: str
    machine: str
    results: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    settings: str = ""
    why: str = ""


def make(act: str, results: Mapping[str, Any] | None = None, settings: str = "", why: str = "") -> Made:
    """Describe what this process has done until now."""
    import jax

    devices = jax.devices()
    machine = f"{len(devices)} x {devices[0].device_kind}, {os.cpu_count()} CPU cores, {platform.platform()}"
    software = f"Python {platform.python_version()}, jax {jax.__version__}"
    when = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return Made(act, command(sys.orig_argv[1:]), when, f"{machine}; {software}", results or {}, settings, why)


def command(words: Sequence[str]) -> str:
    """Format a command line to fit on a page, one flag per line.

    Args:
      words: the words after the interpreter.
    """
    words = ["vidjax", *words[1:]] if words and os.path.basename(words[0]) == "vidjax" else ["python", *words]
    lines = [""]
    for word in words:
        if word.startswith("--"):
            lines.append("   ")
        lines[-1] += " " * bool(lines[-1]) + shlex.quote(word)
    return " \\\n".join(lines)


def add(workdir: Place, made: Made) -> list[Made]:
    """Add an entry to the folder's history; return all entries, oldest first. Unreadable lines are dropped."""
    found = [*read(workdir), made]
    workdir.mkdir(parents=True, exist_ok=True)
    write_json_lines(workdir / HISTORY, map(dataclasses.asdict, found))
    return found


def read(workdir: Place) -> list[Made]:
    """Read the history of a folder, oldest first, without unreadable lines."""
    found = []
    path = workdir / HISTORY
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        try:
            found.append(Made(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found


def blocks(history: Sequence[Made]) -> list[Block]:
    """The "How it was made" section of a report; a command that was repeated in succession is shown once."""
    found: list[Block] = [Heading("How it was made")]
    before = None
    for made in history:
        if before is None or made.command != before.command:
            found.append(Code(made.command))
        before = made
        act = f"{made.act[0].upper()}{made.act[1:]}: " if made.act else ""
        found.append(Text(f"{act}{made.when}; {made.machine}."))
    return found
