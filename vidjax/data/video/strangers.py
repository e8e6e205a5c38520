"""Limits for the untrusted videos of `vidjax demo` and `vidjax serve`, and messages that reveal nothing private."""

from __future__ import annotations

import dataclasses

from vidjax.data.video.decode import VideoInfo
from vidjax.errors import ConfigError, VideoError

PIXELS = 3840 * 2160  # per frame
FASTEST = 240  # frames per second; bounds the number of frames of a video
_PICTURE = "a single picture; give a video"
_SENTENCES = {  # shown to the sender in place of FFmpeg's messages
    "missing": "is no longer available; upload it again",
    "empty": "is empty: it has no bytes",
    "not_video": "is not a video that can be read here; MP4, MOV, WebM, MKV and AVI files can",
    "no_video_stream": "has only sound or data; give a video",
    "truncated": "is cut off: the file ends before its video does; upload it again, or another copy",
    "corrupt": "is damaged and cannot be decoded; try another copy of it",
    "open_ended": "may be cut off, as its format does not mark the end; give an MP4, MOV or MKV file",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoLimits:
    """Limits for one video.

    Attributes:
      megabytes: size of the file, in units of 2^20 bytes; seconds: duration of the video.

    Raises:
      ConfigError: for a limit that is not above 0.
    """

    megabytes: int
    seconds: int

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if not getattr(self, field.name) > 0:
                raise ConfigError(f"{field.name}={getattr(self, field.name)} must be above 0")

    @property
    def bytes(self) -> int:
        """The maximum size of a file in bytes."""
        return self.megabytes << 20

    def check(self, info: VideoInfo) -> None:
        """Reject a video that is too long, has frames that are too large, or is a single picture.

        Raises:
          VideoError: too_large, or not_video.
        """
        if info.duration > self.seconds or info.frames > self.seconds * FASTEST:
            length = f"{info.duration:.0f} seconds in {info.frames} frames"
            too_long = info.duration > self.seconds
            limit = f"{self.seconds} seconds" if too_long else f"{self.seconds * FASTEST} frames"
            raise VideoError("too_large", f"the video has {length}; the limit is {limit}")
        if info.width * info.height > PIXELS:
            raise VideoError("too_large", f"frames of {info.width} x {info.height} exceed 3840 x 2160 pixels")
        if info.frames == 1:
            raise VideoError("not_video", _PICTURE)


def refusal(error: VideoError, name: str, where: str) -> str:
    """Say why a video is rejected, without revealing anything of this machine.

    Args:
      name: the sender's name for the video; where: its name in the error, see `container.describe`.
    """
    if error.reason == "too_large":
        return f"{name} is too large: {error.detail.replace(where, name)}"
    if error.detail.endswith(_PICTURE):
        return f"{name} is {_PICTURE}"
    return f"{name} {_SENTENCES[error.reason]}"
