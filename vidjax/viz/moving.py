"""Write animations as GIF, which every web page can show, or as MP4, which is smaller and keeps all colours."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vidjax.files import Place, located, make_folder, write_whole

_KEY_EVERY = 12  # pictures between key frames, so that players can seek
_COLOURED = 4  # maximum pictures from which a GIF's colours are taken


def write_gif(pictures: Sequence[UInt8[np.ndarray, "h w 3"]], path: str | Place, rate: float) -> Place:
    """Write an endless GIF at `rate` pictures per second, creating its folder if needed.

    All pictures have the same 256 colours, so that what stands still does not flicker.
    """
    spread = np.unique(np.linspace(0, len(pictures) - 1, _COLOURED).round().astype(int))
    colours = Image.fromarray(np.concatenate([pictures[number] for number in spread])).quantize(256)
    pages = [Image.fromarray(picture).quantize(palette=colours, dither=Image.Dither.NONE) for picture in pictures]
    file = io.BytesIO()
    pages[0].save(file, "GIF", save_all=True, append_images=pages[1:], duration=round(1000 / rate), loop=0)
    return _written(path, file.getvalue())


def write_mp4(pictures: Sequence[UInt8[np.ndarray, "h w 3"]], path: str | Place, rate: float) -> Place:
    """Write an MP4 as returned by `mp4`, creating its folder if needed."""
    return _written(path, mp4(pictures, rate))


def mp4(pictures: Sequence[UInt8[np.ndarray, "h w 3"]], rate: float) -> bytes:
    """Return an H.264 MP4 at `rate` pictures per second, which browsers play.

    Odd sides are padded by a white pixel, because 4:2:0 needs even sides.
    """
    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as output:
        stream = output.add_stream(
            "libx264", rate=Fraction(rate).limit_denominator(1001), options={"crf": "18", "g": str(_KEY_EVERY)}
        )
        height, width = pictures[0].shape[:2]
        stream.height, stream.width, stream.pix_fmt = height + height % 2, width + width % 2, "yuv420p"
        for picture in pictures:
            even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), constant_values=255)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        output.mux(stream.encode(None))
    return file.getvalue()


def _written(path: str | Place, content: bytes) -> Place:
    path = located(path)
    make_folder(path.parent)
    write_whole(path, content)
    return path
