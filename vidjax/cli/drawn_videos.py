"""The loop of verbs that draw clips: take the middle clip of each video, and report videos that cannot be decoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from vidjax.cli import clip_options
from vidjax.cli.terminal import say
from vidjax.errors import VideoError
from vidjax.progress import progress

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

    from vidjax.data.clips.recipe import ClipRecipe

Drawn = TypeVar("Drawn")


def draw_each(
    folders: Mapping[str, str],
    recipe: ClipRecipe,
    draw: Callable[[UInt8[np.ndarray, "1 t h w 3"], str], Drawn],
    doing: str,
) -> dict[str, Drawn]:
    """Call `draw` with each video's clip and output folder; return its results by video.

    A video that cannot be decoded is reported and left out.

    Args:
      folders: output folders by video path.
      recipe: a recipe of one view.
      doing: text of the progress bar.
    """
    from vidjax.data.clips.eval_views import window_views
    from vidjax.data.video.readers import open_video

    drawn, failed = {}, []
    with progress(doing, len(folders)) as advance:
        for name, folder in folders.items():
            try:
                with open_video(name) as video:
                    clip_options.note_if_short(name, video, recipe)
                    [clip] = window_views(video, recipe, [None])
                drawn[name] = draw(clip, folder)
            except VideoError as error:
                failed.append(f"vidjax: {name} is not shown: {error}")
            advance()
    for sentence in failed:
        say(sentence)
    return drawn
