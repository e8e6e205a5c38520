"""Predictions for a video file: classes, numbers or a timeline from a predictor, a sentence from a caption generator.

The command line, the demo and `Pretrained.predict` all use these functions, so their results agree.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vidjax.config import Config
from vidjax.data.clips.eval_views import too_short
from vidjax.data.tokenizer import load_tokenizer
from vidjax.data.video.readers import OpenVideo, open_video
from vidjax.errors import ConfigError, WeightsError
from vidjax.evaluation.caption_generator import CaptionGenerator
from vidjax.evaluation.multiview import Scoring
from vidjax.evaluation.predict import ActionPredictor, Advance, Predictor
from vidjax.objectives import ActionRecognition, Captioning
from vidjax.weights.clip_recipes import RecipeChanges, change_recipe

if TYPE_CHECKING:
    from vidjax.weights.model import Pretrained

_OTHERS = {
    "values": "numbers, which are averaged over views and windows",
    "actions": "verbs and nouns, whose logits are added over views and averaged over windows",
}
Remark = Callable[[str], None]  # called with a warning about a video; the prediction still follows


def make_predictor(model: Pretrained, asked: RecipeChanges | None = None) -> Predictor:
    """Make a predictor that samples clips as the model's evaluation does.

    Args:
      model: a model that predicts classes, actions or numbers.
      asked: changes to the model's recipe; None for no changes.

    Raises:
      ConfigError: for an invalid change, or one that does not apply to the numbers or actions that the model predicts.
      WeightsError: if the model predicts neither classes, actions nor numbers.
    """
    trained, objective, asked = model.answer, model.objective, asked or RecipeChanges()
    if trained is None or not isinstance(objective, Scoring):
        raise WeightsError(
            f"{model.source} holds a {model.family} that predicts neither classes nor numbers; give a fine-tuned "
            "classifier or a regression model"
        )
    activation = asked.score or trained.activation
    if trained.kind == "classes":
        asked = dataclasses.replace(asked, score=activation)
    elif asked.score or asked.merge:
        raise ConfigError(f"score and merge are for classes; this model predicts {_OTHERS[trained.kind]}")
    if trained.kind == "values" and asked.threshold is not None:
        raise ConfigError("threshold is for the probabilities of classes; this model predicts numbers")
    recipe, labels = change_recipe(model.clips, asked), model.labels
    if trained.kind != "classes":
        recipe = dataclasses.replace(recipe, merge=model.clips.merge)
    if isinstance(objective, ActionRecognition):
        return ActionPredictor(objective.nouns, objective, model.params, recipe, activation=activation, labels=labels)
    return Predictor(objective, model.params, recipe, activation=activation, labels=labels)


def make_caption_generator(
    model: Pretrained, *, stride: int | None = None, beams: int | None = None, max_tokens: int | None = None
) -> CaptionGenerator:
    """Make a caption generator that samples clips as the run's evaluation does.

    Args:
      model: loaded from a captioning run, whose folder holds the vocabulary.
      stride, beams, max_tokens: values that replace those of the run; None keeps the run's value.

    Raises:
      WeightsError: if the model generates no captions.
      ConfigError: if the stride is invalid, or the decoder has no positions for `max_tokens`.
    """
    config, objective = model.config, model.objective
    if not isinstance(config, Config) or not isinstance(objective, Captioning):
        raise WeightsError(
            f"{model.source} holds a {model.family} that generates no captions; give a run of task=captioning, such as "
            "one of configs/motion_caption.py"
        )
    caption = config.caption
    if beams:
        caption = dataclasses.replace(caption, beams=beams)
    if max_tokens:
        objective.module.decoder.spec.check_length(max_tokens + 1)
        objective = dataclasses.replace(objective, num_tokens=max_tokens)
    recipe = change_recipe(model.clips, RecipeChanges(stride=stride))
    return CaptionGenerator(objective, model.params, recipe, caption, load_tokenizer(model.source))


def answer(
    predictor: Predictor, name: str, k: int, remark: Remark, advance: Advance = lambda share: None
) -> dict[str, Any]:
    """Predict the classes, actions or numbers of a video file.

    Args:
      name: path of the video.
      k: number of classes or actions to return.
      remark: called with a warning if the video is too short for the recipe.
      advance: called with the share of the work that was done since the last call.

    Returns:
      the `k` best classes or actions as `top`, or the `values` of a regression. Sliding windows add `windows`, in order
      of time, each with its own `top` or `values`, and `segments`, the timeline made from them.

    Raises:
      VideoError: if the video cannot be decoded.
      OutputError: if the scores are not finite.
    """
    with open_video(name) as video:
        return answer_opened(predictor, video, name, k, remark, advance)


def answer_opened(
    predictor: Predictor, video: OpenVideo, name: str, k: int, remark: Remark, advance: Advance = lambda share: None
) -> dict[str, Any]:
    """Do the same as `answer` for a video that is already open; remarks call the video `name`."""
    if sentence := too_short(name, video, predictor.recipe):
        remark(sentence)
    if predictor.recipe.windows:
        return _windows(predictor, *predictor.windows(video, advance), k)
    scores = predictor(video, advance)
    return _said(predictor, scores, k)


def caption(generator: CaptionGenerator, name: str, remark: Remark) -> dict[str, Any]:
    """Return the `caption` of a video file and the `log_probability` of the caption.

    Raises:
      VideoError: if the video cannot be decoded.
    """
    with open_video(name) as video:
        if sentence := too_short(name, video, generator.recipe):
            remark(sentence)
        text, log_probability = generator(video)
    return {"caption": text, "log_probability": log_probability}


def _windows(predictor: Predictor, times: Any, scores: Any, k: int) -> dict[str, Any]:
    windows = [
        {"start": round(float(start), 3), "end": round(float(end), 3), **_said(predictor, own, k)}
        for (start, end), own in zip(times, scores, strict=True)
    ]
    whole = _said(predictor, predictor.merge(scores), k)
    return whole | {"windows": windows, "segments": predictor.timeline(times, scores)}


def _said(predictor: Predictor, scores: Any, k: int) -> dict[str, Any]:
    return {"values": predictor.values(scores)} if predictor.numbers else {"top": predictor.top(scores, k)}
