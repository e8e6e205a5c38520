"""Pictures of the videos that a model answers best and worst, for its report."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int

from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.clips.row_to_clips import LoadEval
from vidjax.data.sources.base import VideoSource
from vidjax.files import Place
from vidjax.viz.clips import write_clips

SHOWN = 6  # maximum videos of each kind


@dataclasses.dataclass(frozen=True)
class Judged:
    """Marks for a model's answers to the videos of a split.

    Attributes:
      marks: one per video, higher is better; NaN if the video was not scored.
      words: describes the answer to a video, given its index.
      classes: the class of each video, if it has one; the best videos are then of different classes, if possible.
    """

    marks: Float[np.ndarray, " n"]
    words: Callable[[int], str]
    classes: Int[np.ndarray, " n"] | None = None


def best_and_worst(
    marks: Float[np.ndarray, " n"], most: int = SHOWN, classes: Int[np.ndarray, " n"] | None = None
) -> tuple[list[int], list[int]]:
    """Return the indices of the best videos, best first, and of the worst, worst first; no video is in both.

    Args:
      marks: see `Judged`.
      most: maximum number of videos of each kind.
      classes: see `Judged`; the best of each class then come before the second best of any.
    """
    scored = np.flatnonzero(~np.isnan(marks))
    ranked = scored[np.argsort(-marks[scored], kind="stable")].tolist()
    better, worse = ranked[: (len(ranked) + 1) // 2], ranked[(len(ranked) + 1) // 2 :]
    if classes is not None:
        better = _in_turn(better, classes)
    return better[:most], worse[::-1][:most]


def _in_turn(ranked: Sequence[int], classes: Int[np.ndarray, " n"]) -> list[int]:
    """Reorder ranked videos: the first of each class, then the second of each, and so on."""
    seen: collections.Counter[int] = collections.Counter()
    turns = []
    for number in ranked:
        turns.append(seen[classes[number]])
        seen[classes[number]] += 1
    return [ranked[place] for place in np.argsort(turns, kind="stable")]


def show_best_and_worst(judged: Judged, source: VideoSource, recipe: ClipRecipe, folder: Place) -> None:
    """Write the central views of the best and worst videos as captioned animations, skipping unreadable videos.

    Args:
      recipe: how the views of a video are taken.
      folder: the folder of pictures.
    """
    load, clips = LoadEval(source, dataclasses.replace(recipe.one_view(), channels="rgb")).map, []
    for kind, numbers in zip(("best", "worst"), best_and_worst(judged.marks, classes=judged.classes), strict=True):
        for number in numbers:
            row = load(number)
            if row["decoded"]:
                clips.append((kind, f"{source[number].id}: {judged.words(number)}", np.asarray(row["video"])[0]))
    write_clips(folder, clips)
