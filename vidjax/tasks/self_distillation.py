"""Self-distillation: learn from videos without labels by matching a teacher's view of them (SVT)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from vidjax.config import Config
from vidjax.data.sources.annotations import NOTHING
from vidjax.data.sources.base import VideoSource
from vidjax.errors import ConfigError
from vidjax.models import FAMILIES, build_model, family_of
from vidjax.models.projection import ProjectedTimeSformer
from vidjax.models.timesformer import TimeSformerSpec
from vidjax.objectives import SelfDistillation
from vidjax.tasks._modules import refuse, spec_options
from vidjax.tasks._task import Task


def build(config: Config, num_classes: int, total_steps: int, source: VideoSource | None) -> SelfDistillation:
    """Self-distillation of a TimeSformer with the projection head of config.distill."""
    del num_classes, source
    model, data, distill = config.model, config.data, config.distill
    spec = build_model(model.name, num_classes=0, **spec_options(config)).spec
    if not isinstance(spec, TimeSformerSpec):
        raise ConfigError(f"task=self_distillation trains a TimeSformer; model.name={model.name!r} is none")
    module = ProjectedTimeSformer(spec, distill.prototypes, distill.hidden_dim, distill.bottleneck_dim)
    objective = SelfDistillation(
        module, data.views, data.mean, data.std, total_steps,
        num_global=len(data.global_views),
        student_temp=distill.student_temp,
        teacher_temp=distill.teacher_temp,
        teacher_temp_start=distill.teacher_temp_start,
        teacher_temp_steps=distill.teacher_temp_steps,
        teacher_momentum=distill.teacher_momentum,
        center_momentum=distill.center_momentum,
        teacher_drop_path=distill.teacher_drop_path,
    )  # fmt: skip
    objective.train_flops_per_clip  # noqa: B018 - refuses views that the patches do not tile before any work is done
    return objective


def check(config: Config) -> None:
    """Refuse batches without views, and a weighting of classes."""
    refuse(config, "optim.class_weights")
    if not config.data.global_views:
        raise ConfigError("task=self_distillation needs views: set data.global_views=(8, 8) and data.local_views")


def for_inference(config: Config, module: nn.Module, params: Mapping[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    """The encoder as a classifier without head; the projection head has served its purpose."""
    family = FAMILIES.find(family_of(config.model.name)[0])
    return family.classifier(module.spec, 0), {"encoder": params["encoder"]}


TASK = Task(build=build, annotation=NOTHING, takes_views=True, check=check, for_inference=for_inference)
