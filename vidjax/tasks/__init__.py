"""Tasks: what a run learns, how it is scored, and what its model answers; one file per task, named by `config.task`."""

import dataclasses
from typing import Any, cast

from vidjax.config import Config
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.open import open_source
from vidjax.data.sources.base import VideoSource
from vidjax.errors import ConfigError
from vidjax.objectives import Objective
from vidjax.objectives.configured import build_classifier
from vidjax.registry import Registry
from vidjax.tasks._task import Answer, Task
from vidjax.viz.curves import Curve

__all__ = [
    "TASKS",
    "Answer",
    "Curve",
    "Task",
    "build_classifier",
    "build_objective",
    "check",
    "clip_recipe",
    "open_eval",
    "open_train",
]

TASKS = Registry("vidjax.tasks", "TASK", Task, "a task")


def build_objective(
    config: Config, num_classes: int, *, total_steps: int = 1, source: VideoSource | None = None
) -> Objective:
    """Build the objective of a run, with its module.

    Args:
      config: the run's configuration.
      num_classes: number of classes of the data set, or of values that a regression predicts.
      total_steps: steps of the run; self-distillation's teacher momentum depends on them.
      source: the training split, from which classification computes class weights; None if nothing is trained.

    Raises:
      ConfigError: when the task, the model and the data are incompatible.
      DataError: when class weights are to be balanced, and a class has no training video.
    """
    check(config)
    objective = TASKS.find(config.task).build(config, num_classes, total_steps, source)
    frozen, lora = config.model.freeze_backbone, config.model.lora
    if not frozen and not lora.rank:
        return objective
    if frozen and lora.rank:
        raise ConfigError(
            f"model.freeze_backbone=True trains the head alone, but model.lora.rank={lora.rank} adapts the backbone "
            "too; set the first to False or the second to 0"
        )
    if not objective.freezable:
        key, unset = ("model.freeze_backbone=True", False) if frozen else (f"model.lora.rank={lora.rank}", 0)
        raise ConfigError(
            f"{key} is for tasks that train a head on a backbone, such as classification; set it to {unset} for "
            f"task={config.task}"
        )
    return dataclasses.replace(cast(Any, objective), freeze_backbone=frozen, lora=lora if lora.rank else None)


def check(config: Config) -> None:
    """Refuse settings that do not fit the task, from the configuration alone.

    Raises:
      ConfigError: with the setting and the remedy.
    """
    task = TASKS.find(config.task)
    if config.data.views and not task.takes_views:
        raise ConfigError(
            f"data.global_views={config.data.global_views} is for self_distillation; task={config.task} takes single "
            "clips, so set it to ()"
        )
    task.check(config)


def clip_recipe(config: Config) -> ClipRecipe:
    """Return the clip recipe for a run's evaluation and for every later use of its model."""
    evaluator = TASKS.find(config.task).evaluator
    return evaluator.clip_recipe(config) if evaluator else ClipRecipe.of(config.data, config.eval)


def open_train(config: Config) -> VideoSource:
    """Open the training split with the annotation that the task learns from."""
    task = TASKS.find(config.task)
    return task.training_rows(open_source(config.data, config.data.train_split, task.annotation), config)


def open_eval(config: Config) -> VideoSource:
    """Open the evaluation split with the annotation against which the task is scored."""
    return open_source(config.data, config.data.eval_split, TASKS.find(config.task).annotation)
