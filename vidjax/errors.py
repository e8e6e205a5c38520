"""Errors whose message is meant for the person at the keyboard: what is wrong, where, and what to do.

`vidjax.main` and the command line print them as one sentence, without a traceback, and exit with their code.
"""

import difflib
import functools
import inspect
import os
import re
from collections.abc import Callable, Collection
from typing import Any, ParamSpec, TypeVar, cast

# Control characters but the tab and the end of a line, those that turn the direction of writing, and lone surrogates.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LIKE = 0.7  # how like a name must be to a mistyped one, from 0 to 1
P = ParamSpec("P")
R = TypeVar("R")


class UserError(Exception):
    """A mistake in the input, the configuration or the environment that the user can mend.

    Attributes:
      exit_code: of a program that it ends.
    """

    exit_code = 2


class ConfigError(UserError):
    """A configuration that cannot run."""


class DataError(UserError):
    """A data set that is missing, empty, malformed or failing too often."""


class ResumeError(UserError):
    """A working folder that does not fit the run that was asked for."""


class WeightsError(UserError):
    """A checkpoint cannot be read, or does not hold what its name or configuration says."""


class TrainingError(UserError):
    """A run that had to stop: too many steps in a row were not finite."""


class StalledError(UserError):
    """A loader or another process that gives no sign of life; the same command, started again, may go on."""

    exit_code = 4


class VideoError(DataError):
    """A video that cannot be decoded as asked.

    Attributes:
      reason: one of missing, empty, not_video, no_video_stream, truncated, corrupt, too_large, open_ended: nothing
        says where the file ends, which training asks for.
    """

    REASONS = ("missing", "empty", "not_video", "no_video_stream", "truncated", "corrupt", "too_large", "open_ended")

    def __init__(self, reason: str, message: str):
        if reason not in self.REASONS:
            raise ValueError(f"unknown reason {reason!r}; choose one of {', '.join(self.REASONS)}")
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.detail = message

    def __reduce__(self):  # keeps the two arguments when a loader worker sends it to the parent process
        return type(self), (self.reason, self.detail)


class OutputError(UserError):
    """A model's outputs for a video are NaN or infinite."""


def printable(text: str) -> str:
    """Text for a terminal: characters that would steer it, which names of files and classes may hold, are escaped."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(name: str) -> str:
    """`printable`, without line breaks: for a column of a table, a subtitle or a title."""
    return printable(" ".join(name.split()))


def nearest(name: str, names: Collection[str], shown: str = "{!r}") -> str:
    """The remedy for an unknown name: the nearest that there is, as `shown`; where none is like it, all of them."""
    near = difflib.get_close_matches(name.lower(), names, 1, 0.5)
    return f"did you mean {shown.format(near[0])}?" if near else f"there are {', '.join(names)}"


def nearest_path(path: str) -> str:
    """A file or folder that is there and whose path is almost this one, as runs/finetune is for run/finetun; or ""."""
    place, *parts = os.path.normpath(path).split("/")
    folder = place + "/" if not place else ""
    for part in parts if not place else (place, *parts):
        try:
            there = {name.lower(): name for name in os.listdir(folder or os.curdir) if not name.startswith(".")}
        except OSError:  # no folder, or one that cannot be read
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
      ConfigError: with the nearest that it has.
    """
    for name in given:
        if name not in names:
            raise ConfigError(f"{what} has no option {name!r}; {nearest(name, names)}")


def names_options(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function of the public surface: an option that it does not have is refused by `check_options`."""
    names = [name for name in inspect.signature(function).parameters if name != "self"]

    @functools.wraps(function)
    def checked(*args: P.args, **options: P.kwargs) -> R:
        check_options(cast(Any, function).__name__, options, names)
        return function(*args, **options)

    return checked
