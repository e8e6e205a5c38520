"""Multi-label classification: any number of classes per video, each with its intervals (Charades)."""

from __future__ import annotations

from vidjax.config import Config
from vidjax.data.sources.annotations import INTERVALS
from vidjax.data.sources.base import VideoSource
from vidjax.errors import ConfigError
from vidjax.evaluation.multi_label import MultiLabelEvaluator
from vidjax.objectives import MultiLabel
from vidjax.objectives.configured import build_classifier
from vidjax.tasks._refuse import OF_CLASSIFICATION, refuse
from vidjax.tasks._task import Answer, Task
from vidjax.viz.curves import Curve


def build(config: Config, num_classes: int, total_steps: int, source: VideoSource | None) -> MultiLabel:
    """Build multi-label classification by binary cross-entropy, with positives weighted by optim.pos_weight."""
    del total_steps, source
    module = build_classifier(config, num_classes)
    return MultiLabel(module, config.data.mean, config.data.std, config.optim.pos_weight)


def check(config: Config) -> None:
    """Refuse settings for single-class targets, and a weight of positives that is not above 0."""
    refuse(config, *OF_CLASSIFICATION, "optim.class_weights")
    if config.optim.pos_weight <= 0:
        raise ConfigError(f"config.optim.pos_weight={config.optim.pos_weight} must be above 0; 1 means no weighting")


CURVES = (Curve("val/map", "mAP, one view per window", fraction=True),)
TASK = Task(
    build=build,
    annotation=INTERVALS,
    sized_by_data=True,
    check=check,
    evaluator=MultiLabelEvaluator,
    curves=CURVES,
    answer=Answer("classes", "sigmoid"),
)
