"""Check a video and store it, as its own bytes or re-encoded.

A folder of images has no video file to store, so it is encoded, by default losslessly.
"""

from __future__ import annotations

import dataclasses
import pathlib

from vidjax.data.prepare.encode import Encoding, Lossless
from vidjax.data.sources.rows import Row
from vidjax.data.video.checked_file import CheckedFile
from vidjax.data.video.container import check_file
from vidjax.data.video.decode import VideoInfo
from vidjax.data.video.readers import FrameWindow, StoredVideo, VideoPlace, open_video
from vidjax.errors import ConfigError, VideoError

_DECODED_AT_ONCE = 32  # frames, when every frame is checked


@dataclasses.dataclass(frozen=True)
class Storing:
    """Options for storing videos; small and picklable, since they are sent to the machines of a cluster.

    Attributes:
      check: the check for videos stored as their own bytes: `index` or `decode`.
      encoding: how to re-encode videos, which decodes every frame; None stores their own bytes, and images losslessly.
      videos_per_shard: maximum number of videos per file.

    Raises:
      ConfigError: for an unknown check, or fewer than one video per shard.
    """

    check: str = "index"
    encoding: Encoding | None = None
    videos_per_shard: int = 256

    def __post_init__(self):
        if self.check not in CHECKS:
            raise ConfigError(f"check={self.check!r} is unknown; choose one of {', '.join(CHECKS)}")
        if self.videos_per_shard < 1:
            raise ConfigError(f"videos_per_shard={self.videos_per_shard} must be at least 1")

    def store(self, row: Row) -> tuple[bytes, VideoInfo]:
        """The bytes to store, and the properties of the video in them.

        Raises:
          VideoError: when the video cannot be read.
        """
        if isinstance(row.video, FrameWindow):
            return (self.encoding or Lossless()).encode(row.video)
        if row.video is None:
            raise VideoError("missing", f"{row.id} is synthetic and has no frames to store")
        if self.encoding:
            return self.encoding.encode(row.video)
        video = _read_bytes(row.video)
        return video, CHECKS[self.check](video, open_ended=isinstance(row.video, CheckedFile))


def open_whole_index(video: VideoPlace, *, open_ended: bool = False) -> VideoInfo:
    """Check a video's packets and first frame; this takes milliseconds and finds truncated files."""
    with open_video(video, open_ended=open_ended) as opened:
        return opened.info


def decode_every_frame(video: VideoPlace, *, open_ended: bool = False) -> VideoInfo:
    """Check a video by decoding every frame, which also finds damaged frames."""
    with open_video(video, open_ended=open_ended) as opened:
        for start in range(0, opened.info.frames, _DECODED_AT_ONCE):
            opened.read(range(start, min(start + _DECODED_AT_ONCE, opened.info.frames)))
        return opened.info


CHECKS = {"index": open_whole_index, "decode": decode_every_frame}


def _read_bytes(video: str | CheckedFile | bytes | StoredVideo) -> bytes:
    if isinstance(video, CheckedFile):
        video = video.verified()
    if isinstance(video, bytes):
        return video
    if isinstance(video, StoredVideo):
        return video.load()
    check_file(video)
    try:
        return pathlib.Path(video).read_bytes()
    except OSError as error:
        raise VideoError("missing", f"{video}: {error.strerror}") from error
