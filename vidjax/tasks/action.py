"""Action recognition as in EPIC-KITCHENS: predict a noun and a verb; an action is correct if both are."""

from __future__ import annotations

import numpy as np

from vidjax.config import Config
from vidjax.data.sources.annotations import ACTION
from vidjax.data.sources.base import VideoSource
from vidjax.errors import ConfigError
from vidjax.evaluation.action import ActionEvaluator
from vidjax.objectives import ActionRecognition
from vidjax.objectives.configured import build_classifier
from vidjax.objectives.mixing import Mixing
from vidjax.tasks._refuse import refuse
from vidjax.tasks._task import Answer, Task
from vidjax.viz.curves import Curve


def build(config: Config, num_classes: int, total_steps: int, source: VideoSource | None) -> ActionRecognition:
    """Build a classifier with one output per noun, then one per verb, as counted by data.action_classes."""
    del num_classes, total_steps
    data, (nouns, verbs) = config.data, config.data.action_classes
    if source is not None:
        _check_rows(source, nouns, verbs)
    mixing = Mixing(data.mixup, data.cutmix, data.mix_prob, data.mix_switch_prob, data.mix_group)
    return ActionRecognition(
        build_classifier(config, nouns + verbs), data.mean, data.std, label_smoothing=config.optim.label_smoothing,
        erase=data.erase, mixing=mixing, nouns=nouns, verbs=verbs,
    )  # fmt: skip


def check(config: Config) -> None:
    """Refuse class weights, which the loss does not support."""
    refuse(config, "optim.class_weights")


def _check_rows(source: VideoSource, nouns: int, verbs: int) -> None:
    """Refuse data with a noun or a verb for which the model has no output."""
    highest = np.max([source[row].action for row in range(len(source))], axis=0) + 1
    if highest[0] > nouns or highest[1] > verbs:
        raise ConfigError(
            f"data.action_classes=({nouns}, {verbs}), but the data has at least {highest[0]} nouns and {highest[1]} "
            "verbs; set it to the data's numbers of nouns and verbs"
        )


CURVES = (
    Curve("val/action_top1", "noun and verb right, one view", fraction=True),
    Curve("val/noun_top1", "noun right, one view", fraction=True),
    Curve("val/verb_top1", "verb right, one view", fraction=True),
)
TASK = Task(
    build=build,
    annotation=ACTION,
    check=check,
    evaluator=ActionEvaluator,
    curves=CURVES,
    answer=Answer("actions", "softmax"),
)
