"""Least squares: unbounded numbers for each video, such as the logarithm of its view count."""

from __future__ import annotations

from vidjax.config import Config
from vidjax.data.sources.annotations import TARGET
from vidjax.data.sources.base import VideoSource
from vidjax.evaluation.regression import LeastSquaresEvaluator
from vidjax.objectives import LeastSquares
from vidjax.objectives.configured import build_classifier
from vidjax.tasks._refuse import OF_CLASSIFICATION, refuse
from vidjax.tasks._task import Answer, Task
from vidjax.viz.curves import Curve


def build(config: Config, num_classes: int, total_steps: int, source: VideoSource | None) -> LeastSquares:
    """Build regression by the squared error of the raw outputs, one per target."""
    del total_steps, source
    data = config.data
    return LeastSquares(build_classifier(config, num_classes), data.mean, data.std, erase=data.erase)


def check(config: Config) -> None:
    """Refuse settings for class targets."""
    refuse(config, *(key for key in OF_CLASSIFICATION if key != "data.erase"), "optim.class_weights")


CURVES = (Curve("val/r2", "explained share of the variance, one view"), Curve("val/mse", "MSE, one view"))
TASK = Task(
    build=build,
    annotation=TARGET,
    sized_by_data=True,
    check=check,
    evaluator=LeastSquaresEvaluator,
    curves=CURVES,
    answer=Answer("values"),
)
