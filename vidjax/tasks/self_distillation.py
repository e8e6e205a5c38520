"""Self-distillation: learn from videos without labels by matching a teacher's outputs for other views (SVT)."""

from __future__ import annotations

from vidjax.config import Config
from vidjax.data.sources.annotations import NOTHING
from vidjax.data.sources.base import VideoSource
from vidjax.errors import ConfigError
from vidjax.objectives import SelfDistillation, configured
from vidjax.tasks._encoder_only import encoder_only
from vidjax.tasks._refuse import refuse
from vidjax.tasks._task import Task


def build(config: Config, num_classes: int, total_steps: int, source: VideoSource | None) -> SelfDistillation:
    """Build self-distillation of a TimeSformer with the projection head of config.distill."""
    del num_classes, source
    return configured.self_distillation(config, total_steps)


def check(config: Config) -> None:
    """Refuse batches without views, and class weights."""
    refuse(config, "optim.class_weights")
    if not config.data.global_views:
        raise ConfigError(
            "task=self_distillation needs views: set data.global_views, such as (8, 8), and optionally data.local_views"
        )


TASK = Task(
    build=build, annotation=NOTHING, has_teacher=True, takes_views=True, check=check, for_inference=encoder_only
)
