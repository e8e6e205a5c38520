"""Clips as small animations: WebP files that a report can inline."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vidjax.files import Place, read_json, write_json, write_whole
from vidjax.viz.document import Block, Gallery, Heading, Picture, Text

MOST_BYTES = 40_000  # per clip
_LIST, _FILE = "clips.json", re.compile(r"clip_\d+\.webp")
_FRAMES, _PAUSE = 16, 125  # maximum frames per clip, and milliseconds per frame
_TRIES = ((144, 80), (144, 50), (112, 40), (80, 25), (48, 10))  # pixels of the longer side, and quality of the WebP
_TITLES = {"best": "The best answers", "worst": "The worst answers"}


def encode_clip(frames: UInt8[np.ndarray, "t h w 3"]) -> bytes:
    """Encode up to 16 frames as an endless animated WebP: the first of `_TRIES` within `MOST_BYTES`, or the last."""
    shown = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), _FRAMES)).round().astype(int))
    content = b""
    for side, quality in _TRIES:
        pages = [_resized(frames[number], side) for number in shown]
        picture = io.BytesIO()
        pages[0].save(
            picture, "WEBP", save_all=True, append_images=pages[1:], duration=_PAUSE, loop=0, quality=quality
        )  # fmt: skip
        content = picture.getvalue()
        if len(content) <= MOST_BYTES:
            break
    return content


def write_clips(folder: Place, clips: Sequence[tuple[str, str, UInt8[np.ndarray, "t h w 3"]]]) -> None:
    """Write clips for `clip_blocks`, replacing the clips of an earlier evaluation.

    Args:
      folder: the folder of pictures.
      clips: a kind (`best` or `worst`), a caption and the frames of each clip.
    """
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for number, (kind, words, frames) in enumerate(clips):
        name = f"clip_{number:02d}.webp"
        write_whole(folder / name, encode_clip(frames))
        listed.append({"kind": kind, "file": name, "words": words})
    write_json(folder / _LIST, listed)


def clip_blocks(folder: Place) -> list[Block]:
    """The "Best and worst clips" section of a report; empty for a run without clips."""
    found = [entry for entry in _entries(folder) if (folder / entry["file"]).is_file()]
    blocks: list[Block] = []
    for kind, title in _TITLES.items():
        pictures = [Picture(folder / entry["file"], entry["words"]) for entry in found if entry["kind"] == kind]
        if pictures:
            blocks += [Text(f"{title}, as the model saw them (the central view):"), Gallery(pictures)]
    return [Heading("Best and worst clips"), *blocks] if blocks else []


def _entries(folder: Place) -> Iterator[Mapping[str, str]]:
    """Yield the well-formed entries of the list, without files that `write_clips` cannot have written."""
    found = read_json(folder / _LIST)
    for entry in found if isinstance(found, list) else ():
        whole = isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in ("kind", "file", "words"))
        if whole and _FILE.fullmatch(entry["file"]):
            yield entry


def _resized(frame: UInt8[np.ndarray, "h w 3"], side: int) -> Image.Image:
    """Resize a frame to about `side`; a smaller frame is enlarged by a whole factor, without smoothing."""
    height, width = frame.shape[:2]
    longer = max(height, width)
    if longer <= side:
        factor = side // longer
        return Image.fromarray(frame).resize((width * factor, height * factor), Image.Resampling.NEAREST)
    size = (max(1, round(width * side / longer)), max(1, round(height * side / longer)))
    return Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS)
