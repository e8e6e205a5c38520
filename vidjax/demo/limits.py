"""What of a stranger's video is answered, and the sentence for what is not."""

from __future__ import annotations

import dataclasses
import os

from vidjax.data.video.container import check_file
from vidjax.data.video.decode import VideoInfo, probe_video
from vidjax.errors import ConfigError, VideoError, printable

PIXELS = 3840 * 2160  # of a frame
FASTEST = 240  # frames a second, for all of the longest video
_LETTERS = 60  # of a name, as shown
_SENTENCES = {
    "missing": "{name} is no longer here; drop it once more.",
    "empty": "{name} is empty: it has no bytes.",
    "not_video": "{name} is not a video that can be read here; MP4, MOV, WebM, MKV and AVI files can.",
    "no_video_stream": "{name} has no pictures, only sound or data; give a video.",
    "truncated": "{name} is cut off: the file ends before its video does. Drop it once more, or another copy of it.",
    "corrupt": "{name} is damaged and cannot be decoded; try another copy of it.",
    "open_ended": "{name} does not say where it ends; give an MP4, MOV or MKV file.",
}


@dataclasses.dataclass(frozen=True)
class Limits:
    """What is not answered.

    Attributes:
      megabytes: of a file, each 2^20 bytes; seconds: of a video.

    Raises:
      ConfigError: for a limit that is not above 0.
    """

    megabytes: int = 200
    seconds: int = 600

    def __post_init__(self):
        if min(self.megabytes, self.seconds) < 1:
            raise ConfigError(f"--max-mb={self.megabytes} and --max-seconds={self.seconds} must be at least 1")

    def check(self, video: str) -> VideoInfo:
        """Refuse a video before more than its first frame is decoded, or say what it is.

        Raises:
          VideoError: too_large; not_video for a single picture; or when it cannot be read.
        """
        check_file(video)
        if os.path.getsize(video) > self.megabytes << 20:
            raise VideoError("too_large", f"the file has over {self.megabytes} MB")
        info = probe_video(video)
        if info.duration > self.seconds or info.frames > self.seconds * FASTEST:
            length = f"{info.duration:.0f} seconds in {info.frames} frames"
            raise VideoError("too_large", f"the video has {length}; {self.seconds} seconds are answered")
        if info.width * info.height > PIXELS:
            raise VideoError("too_large", f"frames of {info.width} x {info.height} are over 3840 x 2160 pixels")
        if info.frames == 1:
            raise VideoError("not_video", "a single picture; give a video")
        return info


def told(error: VideoError, name: str, path: str) -> str:
    """A sentence for the page, which names the upload as its owner does and nothing of this machine.

    Args:
      name: that the visitor gave the file; path: where it lay.
    """
    if error.reason == "too_large":
        return f"{name} is too large: {error.detail.replace(path, name)}."
    if error.detail.endswith("a single picture; give a video"):
        return f"{name} is a single picture; give a video."
    return _SENTENCES[error.reason].format(name=name)


def shown_name(name: str) -> str:
    """The name of a file as it is shown: its last part, without what would steer a terminal, of a readable length."""
    name = printable(name.replace("\\", "/").rsplit("/", 1)[-1]) or "the file"
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 13]}…{name[-12:]}"
