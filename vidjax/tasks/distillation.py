"""Distillation: a student learns from a frozen teacher's logits or tokens, with or without labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from vidjax.config import Config
from vidjax.data.sources.base import VideoSource
from vidjax.errors import ConfigError
from vidjax.evaluation.classification import ClassificationEvaluator
from vidjax.models import build_model
from vidjax.models.spec_keys import spec_fields
from vidjax.objectives import Classification, Distillation, configured
from vidjax.objectives.distillation import PROJECTION, Weights
from vidjax.tasks._refuse import refuse
from vidjax.tasks._task import Answer, Task
from vidjax.tasks.classification import CURVES
from vidjax.viz.curves import Curve

RANDOM = "random"  # value of teacher.weights for a randomly initialised teacher


def build(config: Config, num_classes: int, total_steps: int, source: VideoSource | None) -> Classification:
    """Build distillation from the teacher of config.teacher; without training, classification by the student."""
    del total_steps, source
    student = configured.classification(config, num_classes)
    if config.mode != "train":
        return student
    weights, align = _weights(config), config.align
    fields = {field.name: getattr(student, field.name) for field in dataclasses.fields(student)}
    return Distillation(
        **fields,
        teacher=_teacher(config, num_classes if weights.logits else 0, student.module.spec),
        weights=weights,
        temperature=config.teacher.temperature,
        decoder=align.decoder,
        loss_of=align.loss,
        unit_length=align.unit_length,
        random=config.teacher.weights == RANDOM,
    )


def check(config: Config) -> None:
    """Refuse an invalid temperature, a missing teacher, and loss weights that leave it unused or other parts untrained.

    Raises:
      ConfigError: naming the key and the remedy.
    """
    refuse(config, "optim.class_weights")
    if config.mode != "train":
        return
    teacher, weights = config.teacher, _weights(config)
    if not teacher.weights:
        raise ConfigError(
            "config.teacher.weights is empty: distillation learns from a trained model; name a run, a hub id, a file "
            f"or a folder, or {RANDOM} to try a configuration"
        )
    if not teacher.name:
        raise ConfigError(
            f"config.teacher.name is empty, and config.teacher.weights={teacher.weights!r} is not a run, which would "
            "record the model; name the teacher's model from `vidjax models`, such as videomae_giant"
        )
    if teacher.temperature <= 0:
        raise ConfigError(f"config.teacher.temperature={teacher.temperature} must be above 0; 1 is usual")
    if not weights.logits and not weights.tokens:
        raise ConfigError(
            "config.teacher.logit_weight=0 and config.teacher.token_weight=0 leave the teacher unused; set one of them "
            "above 0, or use task=classification"
        )
    if not weights.logits and not weights.labels:
        raise ConfigError(
            "config.teacher.logit_weight=0 and config.teacher.label_weight=0 leave the head untrained; set one of them "
            "above 0, or use task=feature_alignment, which has no head"
        )
    model = config.model
    if weights.tokens and (model.freeze_backbone or model.lora.rank):
        key = "freeze_backbone=True" if model.freeze_backbone else f"lora.rank={model.lora.rank}"
        raise ConfigError(
            f"config.teacher.token_weight={weights.tokens} trains a projection of tokens, which model.{key} would "
            "freeze; set the first to 0 or turn the second off"
        )


def for_inference(config: Config, module: nn.Module, params: Mapping[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    """Return the student without its projection to the teacher's width."""
    del config
    return module, {name: tree for name, tree in params.items() if name != PROJECTION}


def _weights(config: Config) -> Weights:
    teacher = config.teacher
    return Weights(teacher.logit_weight, teacher.label_weight, teacher.token_weight)


def _teacher(config: Config, num_classes: int, student: Any) -> nn.Module:
    """Build the teacher's classifier for the student's clips.

    Raises:
      ConfigError: for frames that the teacher's cubes do not tile, or token grids that differ when tokens are compared.
    """
    about = config.teacher
    options = {"dtype": student.dtype, "unroll": student.unroll, "attention": student.attention}
    options |= {"num_frames": student.num_frames, "image_size": about.image_size or config.data.image_size}
    options |= spec_fields(about.name, about.spec, "teacher.spec")
    try:
        teacher = build_model(about.name, num_classes=num_classes, **options)
    except ConfigError as error:
        raise ConfigError(f"config.teacher.name={about.name!r}: {error}") from error
    if about.token_weight and teacher.spec.grid != student.grid:
        theirs, ours = ("x".join(map(str, spec.grid)) for spec in (teacher.spec, student))
        raise ConfigError(
            f"config.teacher.token_weight={about.token_weight} compares tokens in pairs, but {about.name} has {theirs} "
            f"tokens (t h w) and {config.model.name} {ours}; choose teacher.image_size so that they agree, or learn "
            "from the teacher's logits alone"
        )
    return teacher


AGREEMENT = Curve("train/agreement", "same top-1 class as the teacher", fraction=True)
TASK = Task(
    build=build,
    sized_by_data=True,
    check=check,
    for_inference=for_inference,
    evaluator=ClassificationEvaluator,
    curves=(*CURVES, AGREEMENT),
    answer=Answer("classes", "softmax"),
)
