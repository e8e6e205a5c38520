"""The modules that tasks train, from `config.model` and the clips of `config.data`, and settings that they refuse."""

from __future__ import annotations

from typing import Any

import flax.linen as nn

from vidjax.config import Config
from vidjax.errors import ConfigError
from vidjax.models import build_model, preset
from vidjax.models.pooling import PooledClassifier
from vidjax.models.spec_keys import spec_fields

OF_CLASSIFICATION = ("data.mixup", "data.cutmix", "data.mix_group", "data.erase", "optim.label_smoothing")


def spec_options(config: Config, *, fit_frames: bool = False) -> dict[str, Any]:
    """The fields of a model's spec that a run sets.

    Args:
      fit_frames: whether a module may see fewer or more frames than a clip has, as data.tubelet_remainder asks.
    """
    model, data = config.model, config.data
    options = {
        "num_frames": _num_frames(config, fit_frames),
        "image_size": data.image_size,
        "drop_path": 0.0 if model.freeze_backbone else model.drop_path,
        "head_dropout": model.head_dropout,
        "dtype": model.dtype or "float32",
        "remat": model.remat or "none",
        "unroll": model.unroll or 1,
        "attention": model.attention or None,
    }
    return options | spec_fields(model.name, model.spec)


def build_classifier(config: Config, num_classes: int) -> nn.Module:
    """The family's classifier, or its backbone with the pooling and the hidden layers that are asked for."""
    model, options = config.model, spec_options(config, fit_frames=True)
    if not model.pooling and not model.head_widths:
        return build_model(model.name, num_classes=num_classes, **options)
    backbone = build_model(model.name, num_classes=0, **options)
    return PooledClassifier(backbone, num_classes, model.pooling, tuple(model.head_widths))


def refuse(config: Config, *keys: str) -> None:
    """Refuse options of classification that another task would ignore.

    Raises:
      ConfigError: for the first key that is not at its default.
    """
    for key in keys:
        group, name = key.split(".")
        value, unset = (getattr(getattr(of, group), name) for of in (config, Config()))
        if value != unset:
            raise ConfigError(
                f"config.{key}={value} is for task=classification; set it to {unset} for task={config.task}"
            )


def _num_frames(config: Config, fit_frames: bool) -> int:
    """Frames of a clip once those that fill no cube are dropped, or the last is repeated until they do."""
    frames, remainder = config.data.num_frames, config.data.tubelet_remainder
    name, fields = config.model.name, spec_fields(config.model.name, config.model.spec)
    tubelet = fields.get("tubelet_size", preset(name).tubelet_size)
    if remainder == "error" or frames % tubelet == 0:
        return frames
    if not fit_frames:
        raise ConfigError(f"data.tubelet_remainder={remainder} is not for task={config.task}; use it with a classifier")
    return frames // tubelet * tubelet if remainder == "drop" else -(-frames // tubelet) * tubelet
