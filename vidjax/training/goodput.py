"""Counts what the seconds of a start go into, and keeps them where a kill -9 does not reach."""

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

_EVERY, _EVERY_IN_BUCKET = 5.0, 60.0  # seconds between two writings


class Goodput:
    """The time of this start beside that of the earlier ones; at any moment it goes into one kind.

    It is counted by the first process, from `since` on as "start"; the kinds are those of `vidjax.viz.time_spent`.
    """

    def __init__(self, workdir: Place, first: int, since: float):
        """Go on from what earlier starts have left.

        Args:
          workdir: of the run.
          first: the step that it goes on from.
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
        """From now on time goes into this kind."""
        now = time.monotonic()
        self._now.seconds[self._kind] += now - self._since
        self._kind, self._since = kind, now

    @contextlib.contextmanager
    def on(self, kind: str) -> Generator[None]:
        """What is inside goes into another kind."""
        before = self._kind
        self.turn_to(kind)
        try:
            yield
        finally:
            self.write()
            self.turn_to(before)

    def move(self, kind: str, to: str, seconds: float) -> None:
        """Count seconds that have gone into one kind as another."""
        self.turn_to(self._kind)
        self._now.seconds[kind] -= seconds
        self._now.seconds[to] += seconds

    def saving(self, step: int) -> None:
        """A checkpoint of what was done until now is begun."""
        self.turn_to(self._kind)
        self._now.saved[str(step)] = self._now.trained

    def went_back(self, step: int) -> None:
        """The run goes on from an earlier checkpoint; what was trained after it is lost."""
        self.turn_to(self._kind)
        for start in (*self._before, self._now):
            start.lose_after(step)

    def read(self) -> dict[str, float]:
        """time/* of the whole run: seconds by kind, and the goodput; written down too, if that is due."""
        self.turn_to(self._kind)
        if time.monotonic() > self._written + self._every:
            self.write()
        return {f"time/{kind}": seconds for kind, seconds in totals([*self._before, self._now]).items()}

    def write(self) -> None:
        """Write goodput.json; a run does not end because it cannot be written."""
        self.turn_to(self._kind)
        self._written = time.monotonic()
        if not self._path:
            return
        try:
            write_json(self._path, [dataclasses.asdict(start) for start in (*self._before, self._now)])
        except DataError as error:
            say(str(error))
        except Exception as error:  # a bucket's own
            say(f"{self._path} could not be written: {str(error) or type(error).__name__}")

    def close(self) -> None:
        """Count until now."""
        self.write()
