"""State how much of a video a model saw; 16 frames of five minutes are easily mistaken for the whole."""

from __future__ import annotations

import numpy as np

from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.clips.sampling import eval_indices
from vidjax.data.video.decode import VideoInfo

_ALL = 0.97  # share of a video that counts as all of it


def seen_seconds(recipe: ClipRecipe, info: VideoInfo) -> float:
    """Return the seconds of a video covered by the clips taken from it, counting overlaps once."""
    within = np.zeros(info.frames, bool)
    for indices in eval_indices(info.frames, info.fps, recipe):
        within[indices.min() : indices.max() + 1] = True
    return float(within.sum()) / info.frames * info.duration


def sentence(recipe: ClipRecipe, info: VideoInfo) -> str:
    """State the part of a video that a model's answer is based on."""
    length = f"{info.duration:.1f} s"
    if recipe.spread:
        views = f"{recipe.clips} times " if recipe.clips > 1 else ""
        return f"The model saw {views}{recipe.num_frames} single frames, spread over all {length}."
    seen = seen_seconds(recipe, info)
    clips = "1 clip" if recipe.clips == 1 else f"{recipe.clips} clips"
    how = f"{clips} of {recipe.words}"
    if seen >= _ALL * info.duration:
        return f"The model saw all {length}: {how}."
    where = ", from the middle" if recipe.clips == 1 and recipe.sampling != "seconds" else ""
    return f"The model saw {seen:.1f} s of {length}: {how}{where}."
