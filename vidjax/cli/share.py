"""The option --share, by which several calls divide one job."""

from __future__ import annotations

import argparse

from vidjax.errors import ConfigError


def add_share(parser: argparse.ArgumentParser) -> None:
    """Add --share."""
    parser.add_argument("--share", metavar="K/P", help="compute share K (from 0) of P, as in a job array")


def parse_share(word: str | None) -> tuple[int, int] | None:
    """Parse K/P.

    Raises:
      ConfigError: if `word` is not of this form.
    """
    if word is None:
        return None
    place, _, count = word.partition("/")
    if not (place.isdecimal() and count.isdecimal() and int(place) < int(count)):
        raise ConfigError(f"--share={word} must be K/P with K from 0 to P - 1, such as 0/4")
    return int(place), int(count)
