"""What verbs answer about a video: classes, windows or numbers by a predictor, a sentence by a caption generator."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from vidjax.cli.clip_options import note_if_short
from vidjax.errors import ConfigError

if TYPE_CHECKING:
    from vidjax.evaluation.caption_generator import CaptionGenerator
    from vidjax.evaluation.predict import Predictor
    from vidjax.weights import Pretrained


def make_predictor(
    model: Pretrained,
    *,
    score: str | None = None,
    merge: str | None = None,
    window_seconds: float | None = None,
    **counts: int | None,
) -> Predictor:
    """A predictor that takes clips as the model's evaluation does.

    Args:
      model: with classes or targets.
      score: softmax or sigmoid, other than the model was trained with.
      merge, window_seconds, counts: of its recipe, see `vidjax.weights.clip_recipes.RecipeChanges`.

    Raises:
      ConfigError: for what only classes have, of a model that predicts numbers.
    """
    from vidjax.evaluation.predict import Predictor
    from vidjax.weights.clip_recipes import RecipeChanges, change_recipe

    if model.answer.kind == "values":
        if score or merge or window_seconds:
            raise ConfigError(
                "--score, --merge and --every are for classes; this model predicts numbers, which views average"
            )
        activation, asked = model.answer.activation, RecipeChanges(**counts)
    else:
        activation = score or model.answer.activation
        asked = RecipeChanges(merge=merge, activation=activation, window_seconds=window_seconds, **counts)
    recipe = change_recipe(model.clip_recipe, asked)
    return Predictor(model.objective, model.params, recipe, activation=activation, labels=model.labels)


def make_caption_generator(
    model: Pretrained, *, stride: int | None = None, beams: int | None = None, max_tokens: int | None = None
) -> CaptionGenerator:
    """A generator of captions that takes clips as the run's evaluation does.

    Args:
      model: of a run of captioning, whose folder has the vocabulary.
      stride, beams, max_tokens: other than the run's.
    """
    from vidjax.data.tokenizer import load_tokenizer
    from vidjax.evaluation.caption_generator import CaptionGenerator
    from vidjax.weights.clip_recipes import RecipeChanges, change_recipe

    caption, objective = model.config.caption, model.objective
    if beams:
        caption = dataclasses.replace(caption, beams=beams)
    if max_tokens:
        model.module.decoder.spec.check_length(max_tokens + 1)
        objective = dataclasses.replace(objective, num_tokens=max_tokens)
    recipe = change_recipe(model.clip_recipe, RecipeChanges(stride=stride))
    return CaptionGenerator(objective, model.params, recipe, caption, load_tokenizer(model.source))


def answer(predictor: Predictor, name: str, k: int) -> dict[str, Any]:
    """What a predictor says of a video file.

    Returns:
      the `k` best classes as `top`, with `windows` in the order of time if they slide; `values` of a regression.

    Raises:
      VideoError: when the video cannot be decoded.
    """
    from vidjax.data.video.readers import open_video

    with open_video(name) as video:
        note_if_short(name, video, predictor.recipe)
        if predictor.recipe.windows:
            return _windows(predictor, *predictor.windows(video), k)
        scores = predictor(video)
    if predictor.numbers:
        return {"values": [{"name": predictor.name(n), "value": float(value)} for n, value in enumerate(scores)]}
    return {"top": _labelled(predictor.top(scores, k))}


def caption(generator: CaptionGenerator, name: str) -> dict[str, Any]:
    """What a caption generator says of a video file: `caption` and its `log_probability`.

    Raises:
      VideoError: when the video cannot be decoded.
    """
    from vidjax.data.video.readers import open_video

    with open_video(name) as video:
        note_if_short(name, video, generator.recipe)
        text, log_probability = generator(video)
    return {"caption": text, "log_probability": log_probability}


def _windows(predictor: Predictor, times: Any, scores: Any, k: int) -> dict[str, Any]:
    windows = [
        {"start": round(float(start), 3), "end": round(float(end), 3), "top": _labelled(predictor.top(own, k))}
        for (start, end), own in zip(times, scores, strict=True)
    ]
    return {"top": _labelled(predictor.top(predictor.merge(scores), k)), "windows": windows}


def _labelled(top: list[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"label": label, "probability": probability} for label, probability in top]
