"""Feature prediction: learn from unlabelled videos by predicting a teacher's features of hidden cubes (V-JEPA 2)."""

from __future__ import annotations

from vidjax.config import Config
from vidjax.data.sources.annotations import NOTHING
from vidjax.data.sources.base import VideoSource
from vidjax.objectives import FeaturePrediction, configured
from vidjax.tasks._encoder_only import encoder_only
from vidjax.tasks._refuse import refuse
from vidjax.tasks._task import Task
from vidjax.viz.curves import Curve


def build(config: Config, num_classes: int, total_steps: int, source: VideoSource | None) -> FeaturePrediction:
    """Build feature prediction with the model's encoder and predictor, and the masks of config.jepa."""
    del num_classes, total_steps, source
    return configured.feature_prediction(config)


def check(config: Config) -> None:
    """Refuse class weights, which the loss does not support."""
    refuse(config, "optim.class_weights")


TASK = Task(
    build=build,
    annotation=NOTHING,
    has_teacher=True,
    check=check,
    for_inference=encoder_only,
    curves=(Curve("train/target_std", "deviation of the targets (0: collapsed)"),),
)
