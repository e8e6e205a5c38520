"""Videos of strangers: the limits that `vidjax demo` and `vidjax serve` keep, and a sentence for what is refused."""

from __future__ import annotations

import dataclasses

from vidjax.data.video.decode import VideoInfo
from vidjax.errors import ConfigError, VideoError

PIXELS = 3840 * 2160  # of a frame
FASTEST = 240  # frames a second, for all of the longest video
_PICTURE = "a single picture; give a video"
_SENTENCES = {  # what a stranger is told in place of FFmpeg's words
    "missing": "is no longer here; give it again",
    "empty": "is empty: it has no bytes",
    "not_video": "is not a video that can be read here; MP4, MOV, WebM, MKV and AVI files can",
    "no_video_stream": "has no pictures, only sound or data; give a video",
    "truncated": "is cut off: the file ends before its video does; give it again, or another copy of it",
    "corrupt": "is damaged and cannot be decoded; try another copy of it",
    "open_ended": "does not say where it ends; give an MP4, MOV or MKV file",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoLimits:
    """Limits of one video.

    Attributes:
      megabytes: of the file, each 2^20 bytes; seconds: of the video.

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
        """The largest file, in bytes."""
        return self.megabytes << 20

    def check(self, info: VideoInfo) -> None:
        """Refuse a video that is too long, whose frames are too large, or that is a picture.

        Raises:
          VideoError: too_large, or not_video.
        """
        if info.duration > self.seconds or info.frames > self.seconds * FASTEST:
            length = f"{info.duration:.0f} seconds in {info.frames} frames"
            raise VideoError("too_large", f"the video has {length}; {self.seconds} seconds are answered")
        if info.width * info.height > PIXELS:
            raise VideoError("too_large", f"frames of {info.width} x {info.height} are over 3840 x 2160 pixels")
        if info.frames == 1:
            raise VideoError("not_video", _PICTURE)


def refusal(error: VideoError, name: str, where: str) -> str:
    """Why a video is not answered, in a sentence that names nothing of this machine.

    Args:
      name: what its owner calls the video; where: what the error calls it, see `container.describe`.
    """
    if error.reason == "too_large":
        return f"{name} is too large: {error.detail.replace(where, name)}"
    if error.detail.endswith(_PICTURE):
        return f"{name} is {_PICTURE}"
    return f"{name} {_SENTENCES[error.reason]}"
