"""The description of a command-line verb."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable

EXIT_MISSING_VIDEOS = 3  # at least one video could not be processed


@dataclasses.dataclass(frozen=True)
class Verb:
    """One verb: its options and the function that runs it.

    Attributes:
      doc: docstring of its module; the first line is "`vidjax VERB`: " and the summary that `vidjax --help` shows.
      add_arguments: adds its options to a parser.
      run: runs one call; returns the exit code.
      example: a sample command for `vidjax VERB --help`.
      takes_config: whether it also accepts every --config.KEY=VALUE.
    """

    doc: str | None
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    example: str
    takes_config: bool = False

    @property
    def summary(self) -> str:
        """A one-line summary of the verb."""
        return str(self.doc).split("\n")[0].split(": ", 1)[1]
