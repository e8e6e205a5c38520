"""What a verb of the command line is."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable

EXIT_MISSING_VIDEOS = 3  # one video or more could not be answered


@dataclasses.dataclass(frozen=True)
class Verb:
    """One verb: its options, and what it does with them.

    Attributes:
      doc: docstring of its module, whose first line is "`vidjax VERB`: " and the summary that `vidjax --help` shows.
      add_arguments: adds its options to a parser.
      run: answers one call; returns the exit code.
      example: a call as one would type it, for `vidjax VERB --help`.
      takes_config: whether every --config.KEY=VALUE is an option too.
    """

    doc: str | None
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    example: str
    takes_config: bool = False

    @property
    def summary(self) -> str:
        """What the verb does, in a line."""
        return str(self.doc).split("\n")[0].split(": ", 1)[1]
