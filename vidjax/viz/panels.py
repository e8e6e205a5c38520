"""Draw several versions of the same clips: one below the other in a PNG, side by side in a GIF and an MP4."""

from __future__ import annotations

import functools
import os
import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from einops import rearrange
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from vidjax.files import Place, located
from vidjax.viz.figures import new_figure, save_figure
from vidjax.viz.moving import write_gif, write_mp4

_MAX_FRAMES, _MARGIN, _HEADER = 8, 6, 22
_SMALL, _LARGE = 144, 224  # pixels: the usual and the largest height of an animated frame
_RATE = 8  # frames per second
Clips = Float[np.ndarray, "b t h w 3"]


class Files(NamedTuple):
    """The paths of the three files of one drawing."""

    png: Place
    gif: Place
    mp4: Place

    @property
    def named(self) -> dict[str, str]:
        """The paths as strings, by kind."""
        return {kind: os.fspath(path) for kind, path in self._asdict().items()}


def files_of(folder: str | Place, name: str) -> Files:
    """The files that `draw` writes: folder/NAME.png, .gif and .mp4."""
    return Files(*(located(folder) / f"{name}.{kind}" for kind in ("png", "gif", "mp4")))


def draw(clips: Mapping[str, Clips], files: Files, caption: str, titles: Sequence[str] = ()) -> None:
    """Write all three files; the arguments are those of `draw_strips`."""
    draw_strips(clips, files.png, caption, titles)
    pictures = animate(clips, caption, titles)
    write_gif(pictures, files.gif, _RATE)
    write_mp4(pictures, files.mp4, _RATE)


def draw_strips(clips: Mapping[str, Clips], path: str | Place, caption: str, titles: Sequence[str] = ()) -> Place:
    """Draw a row of frames for each version of each clip as a PNG, with the caption below.

    Args:
      clips: versions of the clips by name, each (b t h w 3) in [0, 1]; up to 8 of the t frames are shown.
      path: the PNG to write.
      caption: the text below.
      titles: titles of the b clips.
    """
    count, times = len(next(iter(clips.values()))), _shown(clips)
    wide, title = 1.15, 0.25 * bool(titles)  # inches: the width of a frame, and the room for a title
    high = wide * np.divide(*next(iter(clips.values())).shape[2:4])
    figure = new_figure(0.5 + wide * len(times), count * (high * len(clips) + title + 0.25) + 0.6)
    panels = figure.subplots(count, 1, squeeze=False)[:, 0]
    for number, axes in enumerate(panels):
        frames = np.stack([version[number, times] for version in clips.values()])
        height, width = frames.shape[2:4]
        gap = max(1, height // 24)
        frames = np.pad(frames, [(0, 0), (0, 0), (0, gap), (0, gap), (0, 0)], constant_values=1.0)
        image = rearrange(frames, "row t h w c -> (row h) (t w) c")
        axes.imshow(image.clip(0, 1), interpolation="nearest")
        centres = [(height + gap) * row + height / 2 for row in range(len(clips))]
        axes.set_yticks(centres, [_wrapped(name, 18) for name in clips], fontsize=9, rotation=90, va="center")
        centres = [(width + gap) * column + width / 2 for column in range(len(times))]
        axes.set_xticks(centres, [str(time) for time in times], fontsize=8)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        if titles:
            axes.set_title(titles[number], fontsize=9, loc="left")
    panels[-1].set_xlabel("frame of the clip", fontsize=9)
    figure.supxlabel(_wrapped(caption, int(17 * (0.5 + 1.15 * len(times)))), fontsize=8, x=0.02, ha="left")
    return save_figure(figure, path)


def animate(clips: Mapping[str, Clips], caption: str, titles: Sequence[str] = ()) -> list[UInt8[np.ndarray, "h w 3"]]:
    """One picture per frame, with a row per clip and its versions side by side; arguments as for `draw_strips`."""
    count, length, *size = next(iter(clips.values())).shape[:4]
    high, wide = _size(*size)
    row_height = high + _MARGIN + _HEADER * bool(titles)
    width = len(clips) * wide + (len(clips) + 1) * _MARGIN
    lines = _wrapped(caption, width // 6).split("\n")
    below = _HEADER + count * row_height
    page = Image.new("RGB", (width, below + 16 * len(lines) + _MARGIN), "white")
    canvas = ImageDraw.Draw(page)
    text = functools.partial(canvas.text, fill="black", font=ImageFont.load_default(13))
    lefts = [_MARGIN + column * (wide + _MARGIN) for column in range(len(clips))]
    tops = [_HEADER + row * row_height + _HEADER * bool(titles) for row in range(count)]
    for left, name in zip(lefts, clips, strict=True):
        text((left + wide // 2, _HEADER // 2), name, anchor="mm")
    for top, title in zip(tops, titles, strict=False):
        text((_MARGIN, top - _HEADER // 2), title, anchor="lm")
    canvas.multiline_text((_MARGIN, below), "\n".join(lines), "black", ImageFont.load_default(12), spacing=4)
    pictures = []
    for time in range(length):
        picture = page.copy()
        for left, version in zip(lefts, clips.values(), strict=True):
            for row, top in enumerate(tops):
                picture.paste(_resized(version[row, time], high, wide), (left, top))
        pictures.append(np.asarray(picture))
    return pictures


def _resized(frame: Float[np.ndarray, "h w 3"], high: int, wide: int) -> Image.Image:
    sharp = Image.Resampling.NEAREST if high >= len(frame) else Image.Resampling.BOX
    return Image.fromarray((frame.clip(0, 1) * 255).round().astype(np.uint8)).resize((wide, high), sharp)


def _shown(clips: Mapping[str, Clips]) -> np.ndarray:
    """The numbers of the frames to show."""
    frames = next(iter(clips.values())).shape[1]
    return np.unique(np.linspace(0, frames - 1, min(frames, _MAX_FRAMES)).round().astype(int))


def _size(height: int, width: int) -> tuple[int, int]:
    """The height and width of an animated frame: a whole multiple of the clip's, unless that would be too large."""
    high = min(height * max(1, round(_SMALL / height)), _LARGE)
    return high, round(width * high / height)


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width))
