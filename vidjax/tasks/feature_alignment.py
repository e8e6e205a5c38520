"""Feature alignment: learn from videos without labels by predicting a frozen teacher's features (UMT, VideoMamba)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from vidjax.config import Config
from vidjax.data.sources.annotations import NOTHING
from vidjax.data.sources.base import VideoSource
from vidjax.errors import ConfigError
from vidjax.models import FAMILIES, build_model, family_of, preset
from vidjax.models.alignment import AlignmentStudent, AlignmentTeacher, match_teacher
from vidjax.objectives import FeatureAlignment
from vidjax.objectives.configured import spec_options
from vidjax.objectives.feature_alignment import ATTENTION
from vidjax.tasks._refuse import refuse
from vidjax.tasks._task import Task


def build(config: Config, num_classes: int, total_steps: int, source: VideoSource | None) -> FeatureAlignment:
    """Build feature alignment between the encoder of config.model and that of config.align.teacher."""
    del num_classes, total_steps, source
    model, data, align = config.model, config.data, config.align
    if len(align.student_layers) != len(align.teacher_layers) or not align.student_layers:
        raise ConfigError(
            f"align.student_layers={align.student_layers} and align.teacher_layers={align.teacher_layers} are aligned "
            "in pairs; name the same number of each, at least one"
        )
    spec = build_model(model.name, num_classes=0, **spec_options(config)).spec
    grid = match_teacher(spec, preset(align.teacher))
    teacher_spec = build_model(align.teacher, num_classes=0, dtype=spec.dtype, **grid).spec
    student = _encoder(model.name, spec, align.student_layers, "student_layers")
    teacher = _encoder(align.teacher, teacher_spec, align.teacher_layers, "teacher_layers")
    if not student.takes_index:
        raise ConfigError(f"task=feature_alignment: {model.name} cannot drop tokens; {_families(index=True)} can")
    for name, encoder in ((model.name, student), (align.teacher, teacher)):
        if align.class_token and not encoder.has_class_token:
            raise ConfigError(f"align.class_token=True: {name} has no class token; set it to False")
    if model.mask == ATTENTION and not teacher.has_attention:
        raise ConfigError(
            f"model.mask=attention needs an image model with a class token as the teacher, such as clip_base; "
            f"with align.teacher={align.teacher} use tube or random"
        )
    objective = FeatureAlignment(
        AlignmentStudent(student, teacher.out_dim, align.decoder, align.class_token, align.student_norm),
        AlignmentTeacher(teacher, spec.tubelet_size, align.class_token, align.teacher_norm),
        data.mean, data.std, model.mask, model.mask_ratio, align.loss, align.unit_length,
    )  # fmt: skip
    objective.train_flops_per_clip  # noqa: B018 - refuses unsuitable masks before any work is done
    return objective


def check(config: Config) -> None:
    """Refuse class weights, which the loss does not support."""
    refuse(config, "optim.class_weights")


def for_inference(config: Config, module: nn.Module, params: Mapping[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    """Return the encoder as a classifier without a head; drop the decoders.

    Norms that were not trained keep their initial values: VideoMAE's norm after pooling, or the final norm if
    align.student_norm is off.
    """
    classifier = FAMILIES.find(family_of(config.model.name)[0]).classifier(module.spec, 0)
    fresh = jax.jit(classifier.init)(jax.random.key(0), jnp.zeros((1, *module.spec.clip_shape)))["params"]
    encoder = {name: params["encoder"].get(name, tree) for name, tree in fresh["encoder"].items()}
    return classifier, {**fresh, "encoder": encoder}


def _encoder(name: str, spec: Any, layers: tuple[int, ...], key: str) -> Any:
    """Build a model's encoder, which also returns the outputs of `layers`; negative numbers count from the end."""
    family = FAMILIES.find(family_of(name)[0])
    if family.encoder is None:
        raise ConfigError(f"task=feature_alignment: {name} cannot return features of its layers; {_families()} can")
    depth = spec.depth
    for layer in layers:
        if not -depth <= layer < depth:
            raise ConfigError(f"align.{key}={layers}: {name} has {depth} layers; choose from {-depth} to {depth - 1}")
    return family.encoder(spec, tuple(layer % depth for layer in layers))


def _families(index: bool = False) -> str:
    """List the titles of families that can be a teacher or, with `index`, a student."""
    able = []
    for family in FAMILIES.values():
        if family.encoder is not None:
            encoder: Any = family.encoder(next(iter(family.specs.values())), (0,))
            able += [family.title] if encoder.takes_index or not index else []
    return ", ".join(able)


TASK = Task(build=build, annotation=NOTHING, check=check, for_inference=for_inference)
