"""What a task is: all that differs between learning one thing from videos and learning another."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import flax.linen as nn
from jax.sharding import Mesh

from vidjax.config import Config
from vidjax.data.sources.annotations import LABEL
from vidjax.data.sources.base import VideoSource
from vidjax.evaluation import Evaluator
from vidjax.files import Place
from vidjax.objectives import Objective
from vidjax.objectives.base import Params
from vidjax.viz.curves import Curve


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a trained model says of a video, and how that is shown.

    Attributes:
      kind: `classes` (the most probable ones), `actions` (each a verb and a noun), `values` (a number for each target)
        or `caption` (a sentence).
      activation: turns the module's outputs into what is shown; empty where they are shown as they are.
    """

    kind: Literal["classes", "actions", "values", "caption"]
    activation: Literal["softmax", "sigmoid", "tanh", ""] = ""


def _pass(config: Config) -> None:
    del config


def _same_rows(source: VideoSource, config: Config) -> VideoSource:
    del config
    return source


def _no_files(source: VideoSource, workdir: Place) -> None:
    del source, workdir


def _same_module(config: Config, module: nn.Module, params: Params) -> tuple[nn.Module, Params]:
    del config
    return module, params


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """Something to learn from videos: what it needs, how it is trained and scored, and what it answers.

    Attributes:
      build: makes the objective from (config, num_classes, total_steps, source). `num_classes` counts the classes of
        the data, or the targets of a regression; `source` is the training split, or None where nothing is trained.
      annotation: what rows must carry, a name of `vidjax.data.sources.annotations.ANNOTATIONS`, or `NOTHING` of a task
        that learns from videos alone.
      sized_by_data: whether the module has one output for each class or target of the data.
      takes_views: whether a row is several views of a video (data.global_views) instead of clips.
      check: refuses settings that do not fit the task, from the configuration alone.
      training_rows: wraps the training split, for example to encode captions as tokens.
      save_files: writes what a run needs later besides its weights and class names, from the training split.
      for_inference: turns the trained module and its parameters into those that a user calls.
      evaluator: scores the evaluation split; None for a task without anything to be scored by.
      curves: metrics that a run's report draws, beside the training loss.
      draw: pictures at the end of training, from (objective, params, evaluation split, config, mesh, folder).
      answer: of a trained model; None when it answers nothing.
    """

    build: Callable[[Config, int, int, VideoSource | None], Objective]
    annotation: str = LABEL
    sized_by_data: bool = False
    takes_views: bool = False
    check: Callable[[Config], None] = _pass
    training_rows: Callable[[VideoSource, Config], VideoSource] = _same_rows
    save_files: Callable[[VideoSource, Place], None] = _no_files
    for_inference: Callable[[Config, nn.Module, Mapping[str, Any]], tuple[nn.Module, Mapping[str, Any]]] = _same_module
    evaluator: type[Evaluator] | None = None
    curves: tuple[Curve, ...] = ()
    draw: Callable[[Any, Params, VideoSource, Config, Mesh, Place], Any] | None = None
    answer: Answer | None = None
