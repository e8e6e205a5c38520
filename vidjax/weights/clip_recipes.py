"""How clips are taken for weights from elsewhere, as published for the model most like them; and changes on request."""

from __future__ import annotations

import dataclasses
from typing import Any

from vidjax.data.clips.recipe import ClipRecipe, Windows
from vidjax.evaluation.merging import MERGES, rule_with
from vidjax.models import ClipSpec
from vidjax.models.zoo import usual_clip


def published_recipe(
    family: str,
    spec: Any,
    num_classes: int | None,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    merge: str = "mean_softmax",
    activation: str = "softmax",
) -> ClipRecipe | None:
    """The recipe of a model that no run of vidjax has made: sampled as published, one central view.

    Published protocols have 3 to 30 views of a video; they are asked for, with `--clips` and `--crops` for example.

    Args:
      family: a key of `vidjax.models.FAMILIES`; spec: of the module.
      merge: of several views, as the source was evaluated; activation: makes probabilities of its logits.

    Returns:
      None for a model that takes no clips.
    """
    if not isinstance(spec, ClipSpec):
        return None
    usual = usual_clip(family, spec.num_frames, num_classes or 0)
    return ClipRecipe(
        num_frames=spec.num_frames,
        stride=max(usual.stride, 1) if usual else 1,
        sampling=usual.sampling if usual else "dense",
        image_size=spec.image_size,
        mean=mean,
        std=std,
        merge=rule_with(merge, activation),
    )


def change_recipe(
    recipe: ClipRecipe,
    *,
    stride: int | None = None,
    clips: int | None = None,
    crops: int | None = None,
    merge: str | None = None,
    activation: str | None = None,
    window_seconds: float | None = None,
) -> ClipRecipe:
    """A model's recipe with what a user asks for otherwise; None leaves it as it is.

    Args:
      stride: between the frames of a clip; 0 spreads them over the whole video.
      clips: of a video; of a model that slides, so many windows, evenly spaced.
      merge: of the views, mean_softmax, sum_logits or max.
      activation: makes probabilities of the model's logits, softmax or sigmoid; softmax for another `merge`.
      window_seconds: slides windows over the video, at this stride.
    """
    windows = recipe.windows
    if window_seconds:
        windows = Windows(seconds=window_seconds, merge=windows.merge if windows else "max")
    elif windows and clips:
        windows = dataclasses.replace(windows, seconds=0.0, count=clips)
    rule = recipe.merge
    if merge or activation:
        rule = rule_with(merge or recipe.merge, activation or "softmax")
    if windows and MERGES[rule][1] == "sum":
        rule = f"mean_{activation or 'softmax'}"  # windows are merged as probabilities, and so are their crops
    recipe = dataclasses.replace(
        recipe, clips=1 if windows else clips or recipe.clips, crops=crops or recipe.crops, merge=rule, windows=windows
    )
    if stride is None:
        return recipe
    return dataclasses.replace(recipe, stride=max(stride, 1), sampling="dense" if stride else "segment")
