"""Copy videos that some browsers cannot play into a format that every browser plays."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import av
from av.video.stream import VideoStream

from vidjax.data.video.container import open_container, reading, video_stream
from vidjax.data.video.decode import VideoInfo

_PLAYED = {"mov": "h264", "matroska": "vp9"}  # codec by container, Matroska as WebM
_NAMES = {"mov": (".mp4", ".mov"), "matroska": (".webm",)}  # a server derives the type from the file's name
_PIXEL_FORMATS = {"yuv420p", "yuvj420p"}
_SHORT_SIDE = 360  # maximum short side of the copy, in pixels
_FPS = 30  # frame rate of the copy of a faster video; up to a tenth more is kept
_DECODED = 4 * 10**9  # pixels; copies of longer or larger videos have key frames only
_CLOCK = Fraction(1, 90_000)  # seconds


def is_playable(path: str) -> bool:
    """Whether every browser plays a video and gradio leaves it unchanged: 8-bit H.264 in MP4 or MOV, or VP9 in WebM.

    An unfinished recording does not state its duration. A player cannot seek in it, so it counts as not playable.

    Raises:
      VideoError: when it cannot be opened.
    """
    with open_container(path, path) as container, reading(path):
        stream, kind = video_stream(container, path), container.format.name.split(",")[0]
        if not path.lower().endswith(_NAMES.get(kind, ())):
            return False
        return (
            stream.codec_context.codec.canonical_name == _PLAYED.get(kind)
            and stream.codec_context.pix_fmt in _PIXEL_FORMATS
            and container.duration is not None
        )


def write_preview(path: str, info: VideoInfo, target: str, advance: Callable[[float], None]) -> bool:
    """Write a small, silent H.264 copy of a video with the same timing.

    Args:
      info: metadata of the video.
      target: path of the copy, an .mp4.
      advance: called with the share that is done.

    Returns:
      True if the copy has all frames, or about 30 per second of a faster video; False if it has the key frames only.

    Raises:
      VideoError: when it cannot be decoded.
    """
    whole = info.frames * info.width * info.height <= _DECODED
    with open_container(path, path) as source, av.open(target, "w") as copy, reading(path):
        stream = video_stream(source, path)
        stream.thread_type = "AUTO"
        if not whole:
            stream.codec_context.skip_frame = "NONKEY"
        written, small, due, first = None, None, 0.0, None
        for frame in source.decode(stream):
            first = frame.time if first is None else first
            time = (frame.time or 0.0) - (first or 0.0)
            if time < due:
                continue
            due = time + 0.9 / _FPS
            written = written or _stream_like(frame, copy)
            small = frame.reformat(width=written.width, height=written.height, format="yuv420p")
            _encode(small, time, written, copy)
            advance(min(time / info.duration, 1.0) if info.duration else 0.0)
        if written and small:
            if not whole:  # extends the copy to the video's length, so that a player can seek to its end
                _encode(small, max(info.duration - 1 / _FPS, due), written, copy)
            copy.mux(written.encode(None))
    return whole


def _encode(frame: av.VideoFrame, time: float, stream: VideoStream, copy: av.container.OutputContainer) -> None:
    frame.pts, frame.time_base = round(time / _CLOCK), _CLOCK
    frame.pict_type = av.video.frame.PictureType.NONE
    copy.mux(stream.encode(frame))


def _stream_like(frame: av.VideoFrame, copy: av.container.OutputContainer) -> VideoStream:
    """Add the stream of the copy: reduced in size, with even sides and the rotation of the frames."""
    scale = min(1.0, _SHORT_SIDE / min(frame.width, frame.height))
    stream = copy.add_stream("libx264", rate=_FPS, options={"preset": "ultrafast", "crf": "26"})
    stream.width, stream.height = (max(2, round(side * scale / 2) * 2) for side in (frame.width, frame.height))
    stream.pix_fmt, stream.codec_context.time_base = "yuv420p", _CLOCK
    if frame.rotation % 360:
        stream.set_display_rotation(frame.rotation)
    return stream
