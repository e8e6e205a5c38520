"""Copy a video with its timeline burnt in: H.264 in an MP4, with the original frame times and sound.

Labels are drawn into the decoded planes of a frame, so that the rest of the frame never passes through RGB.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import av
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from vidjax.data.video.container import open_container, reading
from vidjax.data.video.decode import Video
from vidjax.errors import VideoError
from vidjax.files import drafted
from vidjax.viz.timeline import Cue

_CLOCK = Fraction(1, 90_000)  # seconds; a frame at 24, 25, 30 or 60 per second lasts a whole multiple of it
_SOUND = {"aac", "ac3", "alac", "eac3", "flac", "mp2", "mp3", "opus"}  # codecs that an MP4 can hold
_QUALITY = {"crf": "18", "preset": "veryfast"}
_SHADE = 0.6  # how much the background of a label is darkened
_AS_CODED = ("yuv420p", "yuvj420p")
_FULL_RANGE, _BT601 = 2, 6  # FFmpeg's AVCOL_RANGE_JPEG and AVCOL_SPC_SMPTE170M
Planes = list[UInt8[np.ndarray, "h w"]]  # luma, then two chroma planes of half its size


def annotate(
    source: str, target: str | os.PathLike, cues: Sequence[Cue], advance: Callable[[int], object] = lambda frames: None
) -> str:
    """Write the copy: each frame once, at its time, rotated as displayed; odd sides are padded by one pixel.

    Args:
      source: a video file.
      target: the .mp4, on a disk; it appears only when complete.
      cues: the labels to draw and their times, from `vidjax.viz.timeline.cues`.
      advance: called after each frame.

    Returns:
      a sentence if the sound could not be kept, else "".

    Raises:
      VideoError: if a frame cannot be decoded, or frames differ in size.
      DataError: if the file cannot be written.
    """
    with Video(source) as video, drafted(target) as draft, contextlib.ExitStack() as files:
        output = files.enter_context(av.open(os.fspath(draft), "w", format="mp4", options={"movflags": "faststart"}))
        sound, stream, labels = _Sound(source, files), None, _Labels(cues)
        for number, frame in enumerate(video.pictures()):
            seconds = float(video.times[number])
            planes, full_range = _displayed(frame)
            if stream is None:
                stream = _video_stream(output, frame, video)
                stream.height, stream.width = planes[0].shape
                sound.begin(output, float(frame.time or 0.0))
                size = planes[0].shape
            elif planes[0].shape != size:
                raise VideoError("corrupt", f"{source} changes its size from {size} to {planes[0].shape}")
            labels.draw(planes, seconds, full_range)
            picture = av.VideoFrame.from_ndarray(_packed(planes), format="yuv420p")
            picture.pts, picture.time_base = round(seconds / _CLOCK), _CLOCK
            sound.mux_until(seconds)
            output.mux(stream.encode(picture))
            advance(1)
        if stream is not None:
            output.mux(stream.encode(None))
        sound.mux_until(float("inf"))
    return sound.lost


def _video_stream(
    output: av.container.OutputContainer, frame: av.VideoFrame, video: Video
) -> av.video.stream.VideoStream:
    """Add a video stream with the properties of the first frame."""
    stream = output.add_stream("libx264", rate=Fraction(video.fps).limit_denominator(1001), options=dict(_QUALITY))
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.time_base = _CLOCK
    context.sample_aspect_ratio = 1 / video.pixel_aspect if frame.rotation % 180 else video.pixel_aspect
    rgb = frame.format.is_rgb
    context.color_range = frame.color_range
    context.colorspace = _BT601 if rgb else frame.colorspace
    if not rgb:
        context.color_primaries, context.color_trc = frame.color_primaries, frame.color_trc
    return stream


def _displayed(frame: av.VideoFrame) -> tuple[Planes, bool]:
    """The planes of a frame, rotated as displayed, with even sides; and whether they use the full range 0 to 255."""
    full_range = frame.format.name == "yuvj420p" or frame.color_range == _FULL_RANGE
    if frame.format.name not in _AS_CODED:
        frame, full_range = frame.reformat(format="yuv420p"), False
    planes = []
    for plane, halved in zip(frame.planes, (False, True, True), strict=True):
        width, height = ((side + 1) // 2 if halved else side for side in (frame.width, frame.height))
        lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        turned = np.rot90(lines[:height, :width], round(frame.rotation / 90))
        odd = (0, 0) if halved else (turned.shape[0] % 2, turned.shape[1] % 2)
        planes.append(np.pad(turned, ((0, odd[0]), (0, odd[1])), mode="edge"))
    return planes, full_range


def _packed(planes: Planes) -> UInt8[np.ndarray, "rows w"]:
    return np.concatenate([plane.ravel() for plane in planes]).reshape(-1, planes[0].shape[1])


class _Labels:
    """The labels to draw into frames; each cue's label is rendered once."""

    def __init__(self, cues: Sequence[Cue]):
        self._cues, self._next = cues, 0
        self._rendered: tuple[Cue, Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]] | None = None

    def draw(self, planes: Planes, seconds: float, full_range: bool) -> None:
        """Blend the label of a moment into its frame; calls must be in order of time."""
        while self._next < len(self._cues) and self._cues[self._next].end <= seconds + 1e-6:
            self._next += 1
        if self._next == len(self._cues) or self._cues[self._next].start > seconds + 1e-6:
            return
        cue, (height, width) = self._cues[self._next], planes[0].shape
        if self._rendered is None or self._rendered[0] is not cue:
            self._rendered = cue, *_render(cue.lines, height, width)
        _, light, cover = self._rendered
        black, white = (0, 255) if full_range else (16, 235)
        _blend(planes[0], black + (white - black) * light, cover)
        quarter = cover.reshape(cover.shape[0] // 2, 2, cover.shape[1] // 2, 2).mean(axis=(1, 3))
        for plane in planes[1:]:
            _blend(plane, np.full_like(quarter, 128), quarter)


def _blend(plane: UInt8[np.ndarray, "h w"], light: Float[np.ndarray, "h2 w2"], cover: Float[np.ndarray, "h2 w2"]):
    height, width = cover.shape
    under = plane[:height, :width]
    under[:] = np.rint(under * (1 - cover) + light * cover).astype(np.uint8)


def _render(
    lines: Sequence[tuple[str, str]], height: int, width: int
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """A label for the top left corner of a frame: its lightness and opacity, both in [0, 1], with even sides."""
    size = int(np.clip(0.05 * height, 9, 64))
    font, pad = _font(size), max(2, size // 3)
    room = max(1, (height - 2 * pad) // round(1.35 * size))
    texts = [_fitting(*line, font, width - 4 * pad) for line in lines[:room]]
    wide = max(round(font.getlength(text)) for text in texts) + 4 * pad
    high = len(texts) * round(1.35 * size) + 2 * pad
    high, wide = min(high + high % 2 + pad, height) & ~1, min(wide + wide % 2, width) & ~1
    ink = Image.new("L", (wide, high))
    for row, text in enumerate(texts):
        ImageDraw.Draw(ink).text((2 * pad, pad + round(row * 1.35 * size)), text, fill=255, font=font)
    light = np.asarray(ink, np.float64) / 255
    return light, np.maximum(_SHADE, light)


def _fitting(name: str, figure: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """Name and figure on one line; a name that is too long is cut at the end."""
    text = f"{name} {figure}"
    while font.getlength(text) > width and len(name) > 1:
        name = name[:-1].rstrip()
        text = f"{name}… {figure}"
    return text


def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with Matplotlib and has more than Latin letters."""
    import matplotlib

    return ImageFont.truetype(os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


class _Sound:
    """The first audio stream, whose packets are copied unchanged.

    Attributes:
      lost: why the copy has no sound although the source does; else empty.
    """

    def __init__(self, source: str, files: contextlib.ExitStack):
        container = files.enter_context(open_container(source, source))
        self._stream = next(iter(container.streams.audio), None)
        self._where, self.lost = source, ""
        context = self._stream.codec_context if self._stream else None
        codec = context.codec.canonical_name if context else "unknown"
        if self._stream is not None and codec not in _SOUND:
            self.lost, self._stream = f"the sound of {source} ({codec}) is left out: an MP4 cannot hold it", None
        self._packets: Iterator[av.Packet] = iter(container.demux(self._stream) if self._stream else ())
        self._waiting: av.Packet | None = None

    def begin(self, output: av.container.OutputContainer, origin: float) -> None:
        """Add an audio stream to the copy; `origin` is the time of the source's first frame in seconds."""
        if self._stream is not None:
            self._output, self._origin = output, origin
            self._copy = output.add_stream_from_template(self._stream)

    def mux_until(self, seconds: float) -> None:
        """Write all packets that begin before `seconds` in the copy."""
        if self._stream is None:
            return
        with reading(self._where):
            while packet := self._waiting or next((packet for packet in self._packets if packet.size), None):
                shift, pts = round(self._origin / packet.time_base), packet.pts or 0
                if (pts - shift) * packet.time_base > seconds:
                    self._waiting = packet
                    return
                self._waiting = None
                packet.pts, packet.dts = pts - shift, (pts if packet.dts is None else packet.dts) - shift
                packet.stream = self._copy
                self._output.mux(packet)
