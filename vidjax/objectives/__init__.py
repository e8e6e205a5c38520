"""What is learned: an objective by the name in `config.task`."""

import dataclasses

from vidjax.config import Config
from vidjax.errors import ConfigError
from vidjax.models import FAMILIES, build_model, family_of
from vidjax.models.captioner import Captioner, CaptionerSpec
from vidjax.models.gpt2 import GPT2, GPT2_SPECS
from vidjax.models.pooling import PooledClassifier
from vidjax.models.projection import ProjectedTimeSformer
from vidjax.models.timesformer import TimeSformerSpec
from vidjax.objectives.base import Objective
from vidjax.objectives.captioning import Captioning
from vidjax.objectives.classification import Classification
from vidjax.objectives.masked_autoencoding import MaskedAutoencoding
from vidjax.objectives.multi_label import MultiLabel
from vidjax.objectives.regression import Regression
from vidjax.objectives.self_distillation import SelfDistillation

__all__ = [
    "SUPERVISED",
    "Captioning",
    "Classification",
    "MaskedAutoencoding",
    "MultiLabel",
    "Objective",
    "Regression",
    "SelfDistillation",
    "build_objective",
]

# Options that only some families have; 0 or an empty string in the configuration leaves the preset's.
FAMILY_OPTIONS = (
    "patch_size",
    "tubelet_size",
    "decoder_depth",
    "attention_type",
    "factorization",
    "temporal_depth",
    "tubelet_init",
    "merge_directions",
    "dt_bias_init",
    "scan",
    "init_std",
)


def build_objective(
    config: Config, num_classes: int, *, total_steps: int = 1, class_weights: tuple[float, ...] = ()
) -> Objective:
    """The objective of a run, with its module.

    Args:
      config: the run.
      num_classes: of the data set, or the numbers that a regression predicts.
      class_weights: of a classification whose optim.class_weights is not none; a loss needs them, a module does not.
      total_steps: of the run; only self-distillation, whose teacher slows down over a run, uses it.

    Raises:
      ConfigError: when task, model and data do not fit, or the mask hides nothing or everything.
    """
    model, data = config.model, config.data
    options = {
        "num_frames": _model_frames(config),
        "image_size": data.image_size,
        "drop_path": model.drop_path,
        "head_dropout": model.head_dropout,
        "dtype": model.dtype,
        "remat": model.remat,
        "unroll": model.unroll,
        "attention": model.attention or None,
    }
    options |= {name: value for name in FAMILY_OPTIONS if (value := getattr(model, name))}
    if config.task == "self_distillation":
        return _self_distillation(config, options, total_steps)
    if data.views:
        raise ConfigError(
            f"data.global_views={data.global_views} is for self_distillation; task={config.task} takes single clips"
        )
    if config.task == "masked_autoencoding":
        module = build_model(model.name, **options)
        objective = MaskedAutoencoding(
            module, model.mask, model.mask_ratio, model.normalize_target, data.mean, data.std,
            decoder_mask=model.decoder_mask, decoder_mask_ratio=model.decoder_mask_ratio,
        )  # fmt: skip
        objective.train_flops_per_clip  # noqa: B018 - refuses masks that do not fit before any work is done
        return objective
    if config.task == "captioning":
        return _captioning(config, options)
    if config.task in SUPERVISED:
        module = _classifier(config, num_classes, options)
        return SUPERVISED[config.task](config, module, class_weights)
    known = ", ".join(("masked_autoencoding", "self_distillation", "captioning", *SUPERVISED))
    raise ConfigError(f"config.task={config.task!r} is unknown; choose one of {known}")


def _classification(config: Config, module, class_weights: tuple[float, ...]) -> Classification:
    data = config.data
    return Classification(
        module, data.mean, data.std, label_smoothing=config.optim.label_smoothing,
        erase=data.erase, mixup=data.mixup, cutmix=data.cutmix,
        mix_prob=data.mix_prob, mix_switch_prob=data.mix_switch_prob, class_weights=class_weights,
    )  # fmt: skip


def _regression(config: Config, module, class_weights: tuple[float, ...]) -> Regression:
    del class_weights
    _refuse(config, "data.mixup", "data.cutmix", "data.erase", "optim.label_smoothing")
    return Regression(module, config.data.mean, config.data.std)


def _multi_label(config: Config, module, class_weights: tuple[float, ...]) -> MultiLabel:
    del class_weights
    _refuse(config, "data.mixup", "data.cutmix", "data.erase", "optim.label_smoothing")
    if config.optim.pos_weight <= 0:
        raise ConfigError(f"config.optim.pos_weight={config.optim.pos_weight} must be above 0; 1 weighs nothing")
    return MultiLabel(module, config.data.mean, config.data.std, config.optim.pos_weight)


_LEARN_TIME = ("timesformer", "videomamba")
SUPERVISED = {"classification": _classification, "regression": _regression, "multi_label": _multi_label}


def _captioning(config: Config, options: dict) -> Captioning:
    model, data, caption = config.model, config.data, config.caption
    _refuse(config, "data.mixup", "data.cutmix", "data.erase", "optim.label_smoothing", "model.head_dropout")
    if data.num_frames % caption.num_clips:
        raise ConfigError(
            f"data.num_frames={data.num_frames} is no multiple of caption.num_clips={caption.num_clips}; use one"
        )
    backbone = build_model(model.name, num_classes=0, **options | {"num_frames": data.num_frames // caption.num_clips})
    if caption.train_encoder == "time_embed" and family_of(model.name)[0] not in _LEARN_TIME:
        raise ConfigError(
            f"caption.train_encoder=time_embed needs a learned embedding of time, which {model.name} does not have; "
            f"use none, all, or one of {', '.join(_LEARN_TIME)}"
        )
    spec = dataclasses.replace(
        GPT2_SPECS[caption.decoder],
        vocab_size=caption.vocab_size, cross_attention=True, dropout=caption.dropout, dtype=model.dtype,
        remat=model.remat, unroll=model.unroll, attention=model.attention or None,
    )  # fmt: skip
    spec.check_length(caption.num_tokens + 1)  # decoding begins with one more
    if not 0 <= caption.end_token < caption.vocab_size:
        raise ConfigError(f"caption.end_token={caption.end_token} must be from 0 to vocab_size - 1")
    joined = CaptionerSpec(
        encoder_features=caption.encoder_features, mapper=caption.mapper, num_clips=caption.num_clips,
        freeze_encoder=caption.train_encoder == "none",
    )  # fmt: skip
    module = Captioner(backbone, GPT2(spec), joined)
    return Captioning(module, data.mean, data.std, caption.end_token, caption.num_tokens, caption.train_encoder)


def _refuse(config: Config, *keys: str) -> None:
    """Refuse options of classification that other tasks would leave without effect."""
    for key in keys:
        group, name = key.split(".")
        if value := getattr(getattr(config, group), name):
            raise ConfigError(f"config.{key}={value} is for task=classification; set it to 0 for task={config.task}")


def _classifier(config: Config, num_classes: int, options: dict):
    """The family's classifier, or its backbone with the pooling and the hidden layers that are asked for."""
    model = config.model
    if not model.pooling and not model.head_widths:
        return build_model(model.name, num_classes=num_classes, **options)
    backbone = build_model(model.name, num_classes=0, **options)
    return PooledClassifier(backbone, num_classes, model.pooling, tuple(model.head_widths))


def _model_frames(config: Config) -> int:
    """Frames of a clip once those that fill no cube are dropped, or the last is repeated until they do."""
    frames, remainder = config.data.num_frames, config.data.tubelet_remainder
    family, size = family_of(config.model.name)
    tubelet = config.model.tubelet_size or FAMILIES[family].specs[size].tubelet_size
    if remainder == "error" or frames % tubelet == 0:
        return frames
    if config.task not in SUPERVISED:
        raise ConfigError(f"data.tubelet_remainder={remainder} is not for task={config.task}; use it with a classifier")
    return frames // tubelet * tubelet if remainder == "drop" else -(-frames // tubelet) * tubelet


def _self_distillation(config: Config, options: dict, total_steps: int) -> SelfDistillation:
    model, data, distill = config.model, config.data, config.distill
    spec = build_model(model.name, num_classes=0, **options).spec
    if not isinstance(spec, TimeSformerSpec):
        raise ConfigError(f"task=self_distillation trains a TimeSformer; model.name={model.name!r} is none")
    if not data.global_views:
        raise ConfigError("task=self_distillation needs views: set data.global_views=(8, 8) and data.local_views")
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
