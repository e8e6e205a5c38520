"""Account for a run's time by kind of work, and write the times often, so that `kill -9` loses little of them."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Generator

import jax

from vidjax.errors import DataError
from vidjax.files import Place, in_bucket, write_json
from vidjax.training.telemetry import say
from vidjax.viz.time_spent import FILE, Start, read_starts, totals

_EVERY, _EVERY_IN_BUCKET = 5.0, 60.0  # seconds between two writes


class Goodput:
    """The time that this start of a run and its earlier starts spent on each kind of work.

    Every moment counts towards exactly one kind, at first "start"; `vidjax.viz.time_spent` lists the kinds. Only the
    first process reads and writes the file.
    """

    def __init__(self, workdir: Place, first: int, since: float):
        """Continue the account that earlier starts of the run have written.

        Args:
          workdir: the run's folder.
          first: the step that the run resumes from.
          since: when this start began, by `time.monotonic`.
        """
        self._path = workdir / FILE if jax.process_index() == 0 else None
        self._before = read_starts(workdir) if self._path else []
        for start in self._before:
            start.lose_after(first)
        self._now, self._kind, self._since = Start(), "start", since
        self._written = time.monotonic()
        self._every = _EVERY_IN_BUCKET if in_bucket(workdir) else _EVERY

    def turn_to(self, kind: str) -> None:
        """Count time towards this kind from now on."""
        now = time.monotonic()
        self._now.seconds[self._kind] += now - self._since
        self._kind, self._since = kind, now

    @contextlib.contextmanager
    def on(self, kind: str) -> Generator[None]:
        """Count the time of the block towards another kind."""
        before = self._kind
        self.turn_to(kind)
        try:
            yield
        finally:
            self.write()
            self.turn_to(before)

    def move(self, kind: str, to: str, seconds: float) -> None:
        """Move seconds already counted from one kind to another."""
        self.turn_to(self._kind)
        self._now.seconds[kind] -= seconds
        self._now.seconds[to] += seconds

    def saving(self, step: int) -> None:
        """Record how much of this start's training the checkpoint of a step secures; call this as its save begins."""
        self.turn_to(self._kind)
        self._now.saved[str(step)] = self._now.trained

    def went_back(self, step: int) -> None:
        """Record that the run went back to an earlier checkpoint, and count what it trained after that as lost."""
        self.turn_to(self._kind)
        for start in (*self._before, self._now):
            start.lose_after(step)

    def read(self) -> dict[str, float]:
        """Metrics time/* of the whole run: seconds by kind, and the goodput; also writes the file when that is due."""
        self.turn_to(self._kind)
        if time.monotonic() > self._written + self._every:
            self.write()
        return {f"time/{kind}": seconds for kind, seconds in totals([*self._before, self._now]).items()}

    def write(self) -> None:
        """Write goodput.json; a failure to write it does not end the run."""
        self.turn_to(self._kind)
        self._written = time.monotonic()
        if not self._path:
            return
        try:
            write_json(self._path, [dataclasses.asdict(start) for start in (*self._before, self._now)])
        except DataError as error:
            say(str(error))

    def close(self) -> None:
        """Count the time until now and write it."""
        self.write()
