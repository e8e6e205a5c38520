"""Errors with a message for the user: what is wrong, where, and what to do.

`vidjax.main` and the command line print the message without a traceback and exit with the error's code.
"""

import difflib
import functools
import inspect
import os
import re
from collections.abc import Callable, Collection
from typing import Any, ParamSpec, TypeVar, cast

# Control characters except tab and newline, characters that change the writing direction, and lone surrogates.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LIKE = 0.7  # minimum similarity, from 0 to 1, for a path to be suggested
P = ParamSpec("P")
R = TypeVar("R")


class UserError(Exception):
    """A mistake in the input, the configuration or the environment that the user can fix.

    Attributes:
      exit_code: exit code of a program that ends with this error.
    """

    exit_code = 2


class ConfigError(UserError):
    """A configuration that cannot run."""


class DataError(UserError):
    """A data set that is missing, empty, malformed or failing too often."""


class ResumeError(UserError):
    """A workdir that does not fit the requested run."""


class WeightsError(UserError):
    """A checkpoint that cannot be read, or does not match its name or configuration."""


class TrainingError(UserError):
    """A run that had to stop because too many steps in a row were not finite or were spikes."""


class StalledError(UserError):
    """A loader, another process or a live stream that gives no sign of life; running the command again may help."""

    exit_code = 4


class VideoError(DataError):
    """A video that cannot be decoded as requested.

    Attributes:
      reason: one of missing, empty, not_video, no_video_stream, truncated, corrupt, too_large, open_ended. A file is
        open_ended if it does not record where it ends; training rejects such files by default.
    """

    REASONS = ("missing", "empty", "not_video", "no_video_stream", "truncated", "corrupt", "too_large", "open_ended")

    def __init__(self, reason: str, message: str):
        if reason not in self.REASONS:
            raise ValueError(f"unknown reason {reason!r}; choose one of {', '.join(self.REASONS)}")
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.detail = message

    def __reduce__(self):  # keeps both arguments when a loader worker sends the error to the parent process
        return type(self), (self.reason, self.detail)


class OutputError(UserError):
    """Model outputs that are NaN or infinite for a video."""


def printable(text: str) -> str:
    """Escape characters that would control a terminal; names of files and classes may contain them."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(name: str) -> str:
    """`printable` without line breaks, for a table column, a subtitle or a title."""
    return printable(" ".join(name.split()))


def nearest(name: str, names: Collection[str], shown: str = "{!r}") -> str:
    """Suggest the known name nearest to an unknown one, formatted by `shown`; list all if none is similar."""
    near = difflib.get_close_matches(name.lower(), names, 1, 0.5)
    return f"did you mean {shown.format(near[0])}?" if near else f"there are {', '.join(names)}"


def nearest_path(path: str) -> str:
    """Return the existing path most similar to a missing one (runs/finetune for run/finetun); empty if none is."""
    place, *parts = os.path.normpath(path).split("/")
    folder = place + "/" if not place else ""
    for part in parts if not place else (place, *parts):
        try:
            there = {name.lower(): name for name in os.listdir(folder or os.curdir) if not name.startswith(".")}
        except OSError:  # not a folder, or not readable
            return ""
        if not os.path.lexists(folder + part):
            near = difflib.get_close_matches(part.lower(), there, 1, _LIKE)
            if not near:
                return ""
            part = there[near[0]]
        folder += f"{part}/"
    return folder[:-1]


def check_options(what: str, given: Collection[str], names: Collection[str]) -> None:
    """Refuse options that `what` does not have.

    Raises:
      ConfigError: for an unknown option, with the nearest one that it has.
    """
    for name in given:
        if name not in names:
            raise ConfigError(f"{what} has no option {name!r}; {nearest(name, names)}")


def names_options(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a public function so that unknown options are refused by `check_options`."""
    names = [name for name in inspect.signature(function).parameters if name != "self"]

    @functools.wraps(function)
    def checked(*args: P.args, **options: P.kwargs) -> R:
        check_options(cast(Any, function).__name__, options, names)
        return function(*args, **options)

    return checked
