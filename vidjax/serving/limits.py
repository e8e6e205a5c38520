"""What a server does not take: files, videos and queues that are too large, clients that are too slow."""

from __future__ import annotations

import dataclasses

from vidjax.data.video.decode import VideoInfo
from vidjax.errors import ConfigError, VideoError

PIXELS = 3840 * 2160  # of a frame
_FASTEST = 240  # frames a second, for all of the longest video
_SENTENCES = {  # what a client is told in place of FFmpeg's words
    "empty": "the body has no bytes",
    "not_video": "this is no video in a format that can be read here; MP4, MOV, WebM, MKV and AVI can",
    "no_video_stream": "there are no pictures in it, only sound or data",
    "truncated": "the file ends before its video does",
    "corrupt": "the file is damaged and cannot be decoded",
}


def told(error: VideoError) -> str:
    """The sentence for a client whose video cannot be answered, which names nothing of this machine."""
    if error.detail.endswith("a single picture; give a video"):
        return "not_video: this is a single picture"
    return f"{error.reason}: {_SENTENCES.get(error.reason, error.detail)}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of a server.

    Attributes:
      megabytes: of a body, which is kept in memory; seconds: of a video.
      queue: requests that are received, decoded, waiting or computed at once.
      upload_seconds: in which a client has to send its request.
      drain_seconds: after a signal to stop, in which requests that were taken are answered.

    Raises:
      ConfigError: for a limit that is not above 0.
    """

    megabytes: int = 50
    seconds: int = 600
    queue: int = 32
    upload_seconds: float = 30.0
    drain_seconds: int = 30

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if getattr(self, field.name) <= 0:
                raise ConfigError(f"{field.name}={getattr(self, field.name)} must be above 0")

    @property
    def bytes(self) -> int:
        """Of a body."""
        return self.megabytes * 10**6

    def check(self, info: VideoInfo) -> None:
        """Refuse a video that is too long or whose frames are too large.

        Raises:
          VideoError: too_large.
        """
        if info.duration > self.seconds or info.frames > self.seconds * _FASTEST:
            length = f"{info.duration:.0f} seconds in {info.frames} frames"
            raise VideoError("too_large", f"the video has {length}; {self.seconds} seconds are answered")
        if info.width * info.height > PIXELS:
            raise VideoError("too_large", f"frames of {info.width} x {info.height} are over 3840 x 2160 pixels")
