"""Pictures of the videos that a model answers best and worst, for its report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.clips.row_to_clips import LoadEval
from vidjax.data.sources.base import VideoSource
from vidjax.files import Place
from vidjax.viz.clips import write_clips

SHOWN = 6  # most videos of each kind


@dataclasses.dataclass(frozen=True)
class Judged:
    """Marks for a model's answers to the videos of a split.

    Attributes:
      marks: one per video, higher is better; NaN if the video was not scored.
      words: describes the answer to a video, given its number.
    """

    marks: Float[np.ndarray, " n"]
    words: Callable[[int], str]


def best_and_worst(marks: Float[np.ndarray, " n"], most: int = SHOWN) -> tuple[list[int], list[int]]:
    """Return the numbers of the best videos, best first, and of the worst, worst first; no video is in both."""
    scored = np.flatnonzero(~np.isnan(marks))
    ranked = scored[np.argsort(-marks[scored], kind="stable")].tolist()
    best = ranked[: min(most, (len(ranked) + 1) // 2)]
    worst = ranked[::-1][: min(most, len(ranked) // 2)]
    return best, worst


def show_best_and_worst(judged: Judged, source: VideoSource, recipe: ClipRecipe, folder: Place) -> None:
    """Write the central views of the best and worst videos as captioned animations, skipping unreadable videos.

    Args:
      recipe: how the views of a video are taken.
      folder: the folder of pictures.
    """
    load, clips = LoadEval(source, dataclasses.replace(recipe.one_view(), channels="rgb")).map, []
    for kind, numbers in zip(("best", "worst"), best_and_worst(judged.marks), strict=True):
        for number in numbers:
            row = load(number)
            if row["decoded"]:
                clips.append((kind, f"{source[number].id}: {judged.words(number)}", np.asarray(row["video"])[0]))
    write_clips(folder, clips)
