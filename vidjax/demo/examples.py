"""Example videos for the page, generated when it starts: digits that move, turn and grow, as in the quickstart."""

from __future__ import annotations

import os
from pathlib import Path

from vidjax.data import motion_videos
from vidjax.data.motion_videos import MotionSpec
from vidjax.data.video.decode import read_frames
from vidjax.demo.parts import animation, text

_SPEC = MotionSpec(size=192, intervals=8, crf=18)  # the quickstart's, enlarged for viewing
_SHORT = {"a digit moves left": 299, "a digit turns": 288, "a digit grows": 142}  # rows of the test split
_LONG = "eight motions, one after the other"


def make_examples(folder: str | os.PathLike) -> dict[str, str]:
    """Write the examples into a folder.

    Returns:
      the file of each example, by its name.
    """
    clips = {name: motion_videos.draw_clip(_SPEC, "test", row) for name, row in _SHORT.items()}
    clips[_LONG] = motion_videos.draw_clip(_SPEC, "long", 0)
    made = {}
    for name, clip in clips.items():
        path = Path(folder, f"{name.replace(' ', '_').replace(',', '')}.mp4")
        motion_videos.encode(path, motion_videos.render(clip, _SPEC), _SPEC)
        made[name] = str(path)
    return made


def draw(examples: dict[str, str]) -> str:
    """Return a button for each example with an animated thumbnail."""
    buttons = "".join(
        f'<button type="button" data-example="{number}"><img src="{_thumbnail(path)}" alt="">'
        f"<span>{text(name)}</span></button>"
        for number, (name, path) in enumerate(examples.items())
    )
    return f'<div class="vj-examples" role="group" aria-label="examples">{buttons}</div>'


def _thumbnail(path: str) -> str:
    frames = read_frames(path, range(0, 20, 2))
    return animation(frames[:, ::2, ::2], _SPEC.fps / 2)
