"""The definition of a task: everything that depends on what is learned from videos."""

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
    """The kind of answer that a trained model gives for a video, and how it is shown.

    Attributes:
      kind: `classes` (the most probable ones), `actions` (each a verb and a noun), `values` (a number per target) or
        `caption` (a sentence).
      activation: applied to the module's outputs before they are shown; empty for none.
    """

    kind: Literal["classes", "actions", "values", "caption"]
    activation: Literal["softmax", "sigmoid", "tanh", ""] = ""


def _pass(config: Config) -> None:
    del config


def _same_rows(source: VideoSource, config: Config) -> VideoSource:
    del config
    return source


def _no_tokens(config: Config) -> int:
    del config
    return 0


def _no_files(source: VideoSource, workdir: Place) -> None:
    del source, workdir


def _same_module(config: Config, module: nn.Module, params: Params) -> tuple[nn.Module, Params]:
    del config
    return module, params


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """A task to learn from videos: its data, how a model is trained and scored, and what the model answers.

    Attributes:
      build: builds the objective from (config, num_classes, total_steps, source). `num_classes` is the number of
        classes of the data, or of targets of a regression; `source` is the training split, or None if nothing is
        trained.
      annotation: what rows must carry: a name from `vidjax.data.sources.annotations.ANNOTATIONS`, or `NOTHING` for a
        task that learns from videos alone.
      sized_by_data: whether the module has one output per class or target of the data.
      head_from_texts: whether the head consists of the text tower's embeddings of the class names; such a task trains
        nothing.
      has_teacher: whether runs keep a moving average of the parameters (`extra["teacher"]`), which users get instead of
        the trained ones.
      takes_views: whether a row holds several views of a video (data.global_views) instead of clips.
      num_tokens: tokens per caption in a training batch, for a task that learns from captions.
      check: refuses settings that do not fit the task, from the configuration alone.
      training_rows: wraps the training split, for example to encode captions as tokens.
      save_files: writes files made from the training split that the run needs later, such as a vocabulary.
      for_inference: converts the trained module and parameters to those that users call.
      evaluator: scores the evaluation split; None for a task without a score.
      curves: metrics that a run's report plots besides the training loss.
      draw: draws pictures at the end of training and, without an evaluator, every `train.eval_every` steps, from
        (objective, params, evaluation split, config, mesh, folder).
      answer: the kind of answer that a trained model gives; None if it gives none.
    """

    build: Callable[[Config, int, int, VideoSource | None], Objective]
    annotation: str = LABEL
    sized_by_data: bool = False
    head_from_texts: bool = False
    has_teacher: bool = False
    takes_views: bool = False
    num_tokens: Callable[[Config], int] = _no_tokens
    check: Callable[[Config], None] = _pass
    training_rows: Callable[[VideoSource, Config], VideoSource] = _same_rows
    save_files: Callable[[VideoSource, Place], None] = _no_files
    for_inference: Callable[[Config, nn.Module, Mapping[str, Any]], tuple[nn.Module, Mapping[str, Any]]] = _same_module
    evaluator: type[Evaluator] | None = None
    curves: tuple[Curve, ...] = ()
    draw: Callable[[Any, Params, VideoSource, Config, Mesh, Place], Any] | None = None
    answer: Answer | None = None
