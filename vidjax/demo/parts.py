"""HTML parts of the page: bars, frames, notes. Text from visitors and models is escaped here."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vidjax.errors import printable

_STILL, _MOVING = 96, 176  # pixels: minimum short side of the pictures sent
_QUALITY = 82


def text(words: str) -> str:
    """Escape text for HTML."""
    return html.escape(printable(words))


def notes(sentences: Iterable[str], kind: str = "note") -> str:
    """Return sentences as a list.

    Args:
      kind: note, or error for text that a screen reader should announce at once.
    """
    role = "alert" if kind == "error" else "status"
    lines = "".join(f"<li>{text(sentence)}</li>" for sentence in dict.fromkeys(sentences))
    return f'<ul class="vj-notes vj-{kind}" role="{role}">{lines}</ul>' if lines else ""


def bars(top: Sequence[dict[str, Any]]) -> str:
    """Return the best classes as bars with their probabilities, highest first."""
    rows = "".join(
        f'<li><span class="vj-label" title="{text(line["label"])}">{text(line["label"])}</span>'
        f'<span class="vj-bar"><span style="width:{100 * line["probability"]:.2f}%"></span></span>'
        f'<span class="vj-share">{line["probability"]:.1%}</span></li>'
        for line in top
    )
    return f'<ol class="vj-bars" aria-label="most probable classes">{rows}</ol>'


def numbers(values: Sequence[dict[str, Any]]) -> str:
    """Return the values of a regression as a table."""
    rows = "".join(f"<tr><th>{text(line['name'])}</th><td>{line['value']:+.3f}</td></tr>" for line in values)
    return f'<table class="vj-numbers">{rows}</table>'


def strip(frames: UInt8[np.ndarray, "t h w 3"], seconds: Sequence[float]) -> str:
    """Return frames side by side with their times in the video."""
    pictures = "".join(
        f'<figure><img src="{still(frame)}" alt="frame at {second:.2f} seconds"><figcaption>{second:.2f} s</figcaption>'
        "</figure>"
        for frame, second in zip(frames, seconds, strict=True)
    )
    return f'<div class="vj-strip">{pictures}</div>'


def moving(clips: dict[str, UInt8[np.ndarray, "t h w 3"]], frames_per_second: float) -> str:
    """Return looping clips side by side, each with its name."""
    pictures = "".join(
        f'<figure><img src="{animation(frames, frames_per_second)}" alt="{text(name)}"><figcaption>{text(name)}'
        "</figcaption></figure>"
        for name, frames in clips.items()
    )
    return f'<div class="vj-moving">{pictures}</div>'


def still(frame: UInt8[np.ndarray, "h w 3"]) -> str:
    """Return a picture as a data URL."""
    file = io.BytesIO()
    _enlarged(frame, _STILL).save(file, "JPEG", quality=_QUALITY)
    return _address(file, "jpeg")


def animation(frames: UInt8[np.ndarray, "t h w 3"], frames_per_second: float) -> str:
    """Return a looping animation as a data URL."""
    first, *others = (_enlarged(frame, _MOVING) for frame in frames)
    file = io.BytesIO()
    pause = max(20, round(1000 / frames_per_second))  # milliseconds
    first.save(file, "WEBP", save_all=True, append_images=others, duration=pause, loop=0, quality=_QUALITY, method=2)
    return _address(file, "webp")


def _enlarged(frame: UInt8[np.ndarray, "h w 3"], least: int) -> Image.Image:
    """Enlarge small pictures by an integer factor, so that the model's pixels stay squares."""
    picture, factor = Image.fromarray(np.ascontiguousarray(frame)), -(-least // min(frame.shape[:2]))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _address(file: io.BytesIO, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
