"""Clip recipes for foreign weights, as published for the most similar model, and a user's changes to a recipe."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from vidjax.config import choices
from vidjax.data.clips.recipe import ClipRecipe, Windows
from vidjax.errors import ConfigError, nearest
from vidjax.evaluation.merge_views import MERGES, rule_with
from vidjax.models import FAMILIES, ClipSpec
from vidjax.models.zoo import CLASSES, usual_clip


def published_recipe(
    family: str,
    spec: Any,
    num_classes: int | None,
    *,
    pixels: tuple[tuple[float, ...], tuple[float, ...]],
    merge: str = "mean_softmax",
    source: str = "",
) -> ClipRecipe | None:
    """Return the recipe of a model that vidjax did not train: sampling and resizing as published, with one view.

    Published protocols have 3 to 30 views per video; users can request these, for example with `--clips` and `--crops`.
    Channels are in RGB order, unless the published model uses another order and has the same number of classes.

    Args:
      family: a name in `vidjax.models.FAMILIES`.
      spec: the module's spec.
      num_classes: the module's number of classes; 0 or None without a head.
      pixels: per-channel mean and standard deviation that normalise inputs.
      merge: how several views are merged, a rule of `vidjax.evaluation.merge_views`.
      source: where the weights are from. If the tables do not list it, their most similar entry is used.

    Returns:
      the recipe; None for a model that takes no clips.
    """
    if not isinstance(spec, ClipSpec):
        return None
    usual = usual_clip(family, spec, num_classes or 0, source)
    return ClipRecipe(
        num_frames=spec.num_frames,
        stride=max(usual.stride or 1, 1) if usual else 1,
        sampling=usual.sampling if usual else FAMILIES.find(family).sampling,
        image_size=spec.image_size,
        interpolation=usual.interpolation if usual else FAMILIES.find(family).interpolation,
        channels=usual.channels if usual and CLASSES[usual.data] == num_classes else "rgb",
        mean=pixels[0],
        std=pixels[1],
        merge=merge,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecipeChanges:
    """A user's changes to a model's recipe; None keeps the recipe's value.

    Attributes:
      stride: frame stride of a clip, in the unit of the model's sampling; 0 spreads the frames over the whole video.
        It replaces the frames per second of a model that has them.
      clips: clips per video; for a model with sliding windows, the number of evenly spaced windows.
      crops: crops per clip.
      merge: how views and windows are merged: mean_softmax, sum_logits or max.
      score: how logits become probabilities: softmax or sigmoid; softmax if only `merge` is given.
      every: seconds from the start of one sliding window to the start of the next.
      window: length of a window in seconds, over which the frames of a clip are spread. Windows do not overlap unless
        `every` is given.
      threshold: the minimum probability for a class to appear in a timeline, see `Windows`.

    Raises:
      ConfigError: for a number out of range, an unknown name, or two changes that exclude each other.
    """

    stride: int | None = None
    clips: int | None = None
    crops: int | None = None
    merge: str | None = None
    score: str | None = None
    every: float | None = None
    window: float | None = None
    threshold: float | None = None

    def __post_init__(self):
        for name, least in (("stride", 0), ("clips", 1), ("crops", 1)):
            if (value := getattr(self, name)) is not None and value < least:
                raise ConfigError(f"{name}={value} must be at least {least}")
        for name in ("every", "window"):
            if (value := getattr(self, name)) is not None and not 0 < value < math.inf:
                raise ConfigError(f"{name}={value:g} must be above 0 seconds")
        if self.clips and (self.every or self.window):
            name = "every" if self.every else "window"
            raise ConfigError(
                f"clips={self.clips} asks for evenly spaced clips, {name}={getattr(self, name):g} for sliding windows; "
                "give one of the two"
            )
        if self.window and self.stride:
            raise ConfigError(
                f"stride={self.stride} sets how far apart frames are, window={self.window:g} spreads them over that "
                "many seconds; give one of the two"
            )
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ConfigError(f"threshold={self.threshold:g} must be a probability, from 0 to 1")
        for name, allowed in (("merge", choices("eval.merge")), ("score", ("softmax", "sigmoid"))):
            if (value := getattr(self, name)) is not None and value not in allowed:
                raise ConfigError(f"{name}={value!r} is unknown; {nearest(value, allowed)}")


def change_recipe(recipe: ClipRecipe, asked: RecipeChanges) -> ClipRecipe:
    """Apply a user's changes to a model's recipe.

    Unless `merge` is given, windows that the model did not have before are merged by their mean, so that the
    probabilities of a single-label video still add up to 1. With `score=sigmoid`, for several labels per video, they
    are merged by their maximum, as in Charades' protocol.
    """
    windows = recipe.windows
    if every := asked.every or asked.window:
        usual = windows.merge if windows else "max" if asked.score == "sigmoid" else "mean"
        windows = Windows(seconds=every, merge=usual, threshold=windows.threshold if windows else None)
    elif windows and asked.clips:
        windows = dataclasses.replace(windows, seconds=0.0, count=asked.clips)
    if windows and asked.merge:
        windows = dataclasses.replace(windows, merge="max" if MERGES[asked.merge][1] == "max" else "mean")
    rule = recipe.merge
    if asked.merge or asked.score:
        rule = rule_with(asked.merge or recipe.merge, asked.score or "softmax")
    if windows and MERGES[rule][1] == "sum":
        rule = f"mean_{asked.score or 'softmax'}"  # windows are merged as probabilities, so crops of a window are too
    clips = 1 if windows else asked.clips or recipe.clips
    recipe = dataclasses.replace(recipe, clips=clips, crops=asked.crops or recipe.crops, merge=rule, windows=windows)
    stride = 0 if asked.window else asked.stride
    if stride is not None:
        sampling = recipe.sampling
        if recipe.spread == bool(stride):
            sampling = "dense" if stride else "segment"
        recipe = dataclasses.replace(recipe, stride=max(stride, 1), fps=0.0, sampling=sampling)
    return dataclasses.replace(recipe, windows=_lengthened(recipe, asked))


def _lengthened(recipe: ClipRecipe, asked: RecipeChanges) -> Windows | None:
    """Return the recipe's windows with the requested length.

    By default, a window over which frames are spread ends where the next one begins.
    """
    windows = recipe.windows
    if windows is None:
        if asked.threshold is not None:
            raise ConfigError(f"threshold={asked.threshold:g} is for a timeline; ask for one with `every` or `window`")
        return None
    length = asked.window or (asked.every if recipe.spread else 0.0) or windows.length
    threshold = windows.threshold if asked.threshold is None else asked.threshold
    return dataclasses.replace(windows, length=length, threshold=threshold)
