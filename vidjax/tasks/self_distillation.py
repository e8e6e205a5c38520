"""Self-distillation: learn from videos without labels by matching a teacher's outputs for other views (SVT)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from vidjax.config import Config
from vidjax.data.sources.annotations import NOTHING
from vidjax.data.sources.base import VideoSource
from vidjax.errors import ConfigError
from vidjax.models import FAMILIES, family_of
from vidjax.objectives import SelfDistillation, configured
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
        raise ConfigError("task=self_distillation needs views: set data.global_views=(8, 8) and data.local_views")


def for_inference(config: Config, module: nn.Module, params: Mapping[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    """The encoder as a classifier without a head; the projection head is dropped."""
    family = FAMILIES.find(family_of(config.model.name)[0])
    return family.classifier(module.spec, 0), {"encoder": params["encoder"]}


TASK = Task(build=build, annotation=NOTHING, takes_views=True, check=check, for_inference=for_inference)
