"""Errors whose message is meant for the person at the keyboard: what is wrong, where, and what to do.

`vidjax.main` and the command line print them as one sentence, without a traceback, and exit with code 2.
"""


class UserError(Exception):
    """A mistake in the input, the configuration or the environment that the user can mend."""


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


class VideoError(DataError):
    """A video that cannot be decoded as asked.

    Attributes:
      reason: one of missing, empty, not_video, no_video_stream, truncated, corrupt, too_large.
    """

    REASONS = ("missing", "empty", "not_video", "no_video_stream", "truncated", "corrupt", "too_large")

    def __init__(self, reason: str, message: str):
        if reason not in self.REASONS:
            raise ValueError(f"unknown reason {reason!r}; choose one of {', '.join(self.REASONS)}")
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.detail = message

    def __reduce__(self):  # keeps the two arguments when a loader worker sends it to the parent process
        return type(self), (self.reason, self.detail)
