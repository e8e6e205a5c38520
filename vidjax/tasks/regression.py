"""Regression: numbers in [-1, 1] per video, such as valence and arousal."""

from __future__ import annotations

from vidjax.config import Config
from vidjax.data.sources.annotations import TARGET
from vidjax.data.sources.base import VideoSource
from vidjax.evaluation.regression import RegressionEvaluator
from vidjax.objectives import Regression
from vidjax.objectives.configured import build_classifier
from vidjax.tasks._refuse import OF_CLASSIFICATION, refuse
from vidjax.tasks._task import Answer, Task
from vidjax.viz.curves import Curve


def build(config: Config, num_classes: int, total_steps: int, source: VideoSource | None) -> Regression:
    """Build regression by the concordance correlation of tanh(outputs), with one output per target."""
    del total_steps, source
    return Regression(build_classifier(config, num_classes), config.data.mean, config.data.std)


def check(config: Config) -> None:
    """Refuse settings for class targets."""
    refuse(config, *OF_CLASSIFICATION, "optim.class_weights")


CURVES = (Curve("val/ccc", "concordance (CCC), one view"),)
TASK = Task(
    build=build,
    annotation=TARGET,
    sized_by_data=True,
    check=check,
    evaluator=RegressionEvaluator,
    curves=CURVES,
    answer=Answer("values", "tanh"),
)
