"""The model of a zero-shot evaluation: its head holds the text embeddings of the classes."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from vidjax.config import Config
from vidjax.data.sources.base import VideoSource
from vidjax.errors import ConfigError
from vidjax.evaluation.zero_shot import words
from vidjax.models import ClipSpec
from vidjax.models.video_text import VideoTextModel
from vidjax.objectives import Objective
from vidjax.weights import Pretrained, pretrained
from vidjax.weights.zero_shot import with_classes

_SAME = ("num_frames", "image_size", "width", "depth", "patch_size")  # fields that most specs have


def classifier(
    source: str | os.PathLike, params: Any, config: Config, rows: VideoSource, described: Objective
) -> Pretrained:
    """Load a model whose objective scores videos against the texts for the classes.

    Pixels are normalised as the weights require.

    Args:
      source: as for `vidjax.from_pretrained`.
      params: the parameters of another checkpoint of the source; None for its default checkpoint.
      rows: the evaluation split.
      described: the objective that the configuration describes; its module has the video tower of config.model.

    Raises:
      ConfigError: if the weights have no text tower, or not the video tower of config.model; or if a class has no text,
        or one longer than the text tower reads.
      WeightsError: if the source cannot be read.
    """
    model = _read_towers(source, config, described.module.spec)
    if params is not None:
        model = dataclasses.replace(model, params=params)
    texts, templates = words(config, rows)
    return with_classes(model, texts, templates)


def _read_towers(source: str | os.PathLike, config: Config, video: ClipSpec) -> Pretrained:
    """Load a model with a text tower, and the video tower that config.model describes, for clips of config.data."""
    data = config.data
    model = pretrained.from_pretrained(source, num_frames=data.num_frames, image_size=data.image_size)
    if not isinstance(model.module, VideoTextModel):
        raise ConfigError(
            f"{source} holds a {model.family} without a text tower, which task=zero_shot needs; name a CLIP, a "
            "VideoPrism with texts or a run with task=contrastive in config.init_from"
        )
    if type(model.spec) is not type(video):
        raise ConfigError(
            f"{source} holds a {model.family}, but config.model.name={config.model.name!r}; name a {model.family} there"
        )
    for field in _SAME:
        theirs, ours = getattr(model.spec, field, None), getattr(video, field, None)
        if theirs != ours:
            raise ConfigError(
                f"the video tower of {source} has {field}={theirs}, but that of model.name={config.model.name!r} has "
                f"{ours}; set config.model.name to the size of these weights"
            )
    return model
