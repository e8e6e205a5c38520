"""Limits that the demo page sets for uploaded files, and the file names that it shows."""

from __future__ import annotations

import dataclasses
import os

from vidjax.data.video.container import check_file
from vidjax.data.video.decode import VideoInfo, probe_video
from vidjax.data.video.strangers import VideoLimits
from vidjax.errors import VideoError, printable

_LETTERS = 60  # maximum length of a shown name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits(VideoLimits):
    """Limits of a page; see `VideoLimits`."""

    megabytes: int = 200
    seconds: int = 600

    def probe(self, path: str) -> VideoInfo:
        """Return a file's metadata, or reject it after decoding at most its first frame.

        Raises:
          VideoError: too_large; not_video for a single picture; another reason if the file cannot be read.
        """
        check_file(path)
        if os.path.getsize(path) > self.bytes:
            raise VideoError("too_large", f"the file is larger than {self.megabytes} MiB")
        info = probe_video(path)
        self.check(info)
        return info


def shown_name(name: str) -> str:
    """Return a file's base name for display, without control characters and shortened if long."""
    name = printable(name.replace("\\", "/").rsplit("/", 1)[-1]) or "the file"
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 13]}…{name[-12:]}"
