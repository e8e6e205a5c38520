"""Build objectives and their modules from a configuration: `config.model` and the clips of `config.data`.

Nothing here needs the data libraries, so steps can be built and timed without them.
"""

from __future__ import annotations

import itertools
from typing import Any

import flax.linen as nn

from vidjax.config import Config, DataConfig, JepaConfig
from vidjax.errors import ConfigError
from vidjax.models import build_model, preset
from vidjax.models.pooling import ATTENTIVE, PooledClassifier
from vidjax.models.probe_grid import ProbeGrid
from vidjax.models.projection import ProjectedTimeSformer
from vidjax.models.spec import nearest_heads
from vidjax.models.spec_keys import spec_fields
from vidjax.models.timesformer import TimeSformerSpec
from vidjax.models.vjepa2 import VJEPA2Pretraining
from vidjax.objectives.attentive_probe import AttentiveProbe
from vidjax.objectives.base import HeadSettings
from vidjax.objectives.classification import Classification
from vidjax.objectives.feature_prediction import FeaturePrediction, Hidden
from vidjax.objectives.masked_autoencoding import MaskedAutoencoding
from vidjax.objectives.mixing import Mixing
from vidjax.objectives.self_distillation import SelfDistillation
from vidjax.ops import Blocks


def masked_autoencoding(config: Config) -> MaskedAutoencoding:
    """Build masked autoencoding with the family's pre-training module.

    Raises:
      ConfigError: for masks that do not fit the grid of tokens, and for a model that predicts no pixels.
    """
    model, data = config.model, config.data
    module = build_model(model.name, **spec_options(config))
    if isinstance(module, VJEPA2Pretraining):
        raise ConfigError(
            f"task=masked_autoencoding predicts pixels; model.name={model.name!r} predicts features; use a VideoMAE, "
            "or task=feature_prediction"
        )
    objective = MaskedAutoencoding(
        module, model.mask, model.mask_ratio, model.normalize_target, data.mean, data.std,
        decoder_mask=model.decoder_mask, decoder_mask_ratio=model.decoder_mask_ratio,
    )  # fmt: skip
    objective.train_flops_per_clip  # noqa: B018 - before any work is done, rejects masks that do not fit
    return objective


def feature_prediction(config: Config) -> FeaturePrediction:
    """Build feature prediction with the encoder and predictor of the model, and the masks of config.jepa.

    Raises:
      ConfigError: for a model without a predictor, if jepa.blocks and jepa.block_area are empty or differ in length,
        and for masks that leave nothing to see or nothing to predict.
    """
    model, data, jepa = config.model, config.data, config.jepa
    module = build_model(model.name, **spec_options(config))
    if not isinstance(module, VJEPA2Pretraining):
        raise ConfigError(
            f"task=feature_prediction needs a model with a predictor of features; model.name={model.name!r} has none; "
            "use a V-JEPA 2, such as vjepa2_large"
        )
    objective = FeaturePrediction(module, data.mean, data.std, _prediction_masks(jepa), jepa.teacher_momentum)
    objective.train_flops_per_clip  # noqa: B018 - before any work is done, rejects masks that do not fit
    return objective


def _prediction_masks(jepa: JepaConfig) -> tuple[Blocks, ...] | tuple[Hidden, ...]:
    """Return the masks that feature prediction uses in each step."""
    if jepa.mask != "blocks":
        return (Hidden(jepa.mask, jepa.mask_ratio),)
    if len(jepa.blocks) != len(jepa.block_area) or not jepa.blocks:
        raise ConfigError(
            f"jepa.blocks={jepa.blocks} and jepa.block_area={jepa.block_area} describe the same masks; give both the "
            "same length, at least 1"
        )
    shapes = zip(jepa.blocks, jepa.block_area, strict=True)
    return tuple(Blocks(number, area, jepa.block_aspect, jepa.mask_group) for number, area in shapes)


def classification(config: Config, num_classes: int, class_weights: tuple[float, ...] = ()) -> Classification:
    """Build classification by cross-entropy, with mixing, erasing and smoothing as configured.

    Args:
      class_weights: factor on the loss for each class; () for none.
    """
    data, optim = config.data, config.optim
    return Classification(
        build_classifier(config, num_classes), data.mean, data.std, label_smoothing=optim.label_smoothing,
        erase=data.erase, mixing=_mixing(data), class_weights=class_weights,
    )  # fmt: skip


def attentive_probe(config: Config, num_classes: int, class_weights: tuple[float, ...] = ()) -> AttentiveProbe:
    """Build the attentive probes of optim.head_learning_rates and optim.head_weight_decays on a frozen backbone.

    Raises:
      ConfigError: for a pooling that is not attentive, and as in `build_backbone`.
    """
    model, data, optim = config.model, config.data, config.optim
    if model.pooling not in ATTENTIVE:
        raise ConfigError(
            f"task=attentive_probe needs model.pooling={' or '.join(ATTENTIVE)}; model.pooling={model.pooling!r} is "
            "for other tasks"
        )
    heads = tuple(
        HeadSettings(*pair) for pair in itertools.product(optim.head_learning_rates, optim.head_weight_decays)
    )
    return AttentiveProbe(
        ProbeGrid(
            build_backbone(config), num_classes, model.pooling, model.pooling_heads, len(heads), data.segments
        ),
        data.mean, data.std, label_smoothing=optim.label_smoothing, erase=data.erase, class_weights=class_weights,
        mixing=_mixing(data), heads=heads,
    )  # fmt: skip


def self_distillation(config: Config, total_steps: int) -> SelfDistillation:
    """Build self-distillation of a TimeSformer with the projection head of config.distill.

    Args:
      total_steps: steps of the run, over which the teacher's momentum rises to 1.

    Raises:
      ConfigError: for a model of another family, and for views that its patches do not tile.
    """
    model, data, distill = config.model, config.data, config.distill
    spec = build_model(model.name, num_classes=0, **spec_options(config)).spec
    if not isinstance(spec, TimeSformerSpec):
        raise ConfigError(f"task=self_distillation needs a TimeSformer; model.name={model.name!r} is another model")
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
    objective.train_flops_per_clip  # noqa: B018 - before any work is done, rejects views that patches do not tile
    return objective


def spec_options(config: Config, *, fit_frames: bool = False) -> dict[str, Any]:
    """Return the fields of a model's spec that a configuration sets.

    Args:
      fit_frames: whether data.tubelet_remainder may change the module's number of frames from that of the clips.
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
    """Build the family's classifier, or its backbone with the configured pooling and hidden layers.

    Raises:
      ConfigError: if model.pooling_heads does not divide the width of an attentive pooling.
    """
    model = config.model
    if not model.pooling and not model.head_widths:
        return build_model(model.name, num_classes=num_classes, **spec_options(config, fit_frames=True))
    backbone = build_backbone(config) if model.pooling in ATTENTIVE else _without_head(config)
    return PooledClassifier(backbone, num_classes, model.pooling, tuple(model.head_widths), model.pooling_heads)


def build_backbone(config: Config) -> nn.Module:
    """Build the backbone of an attentive pooling, a classifier without a head.

    Raises:
      ConfigError: if model.pooling_heads does not divide its width.
    """
    backbone, heads = _without_head(config), config.model.pooling_heads
    if backbone.spec.width % heads:
        raise ConfigError(
            f"{config.model.name} has tokens of width {backbone.spec.width}, which is not a multiple of "
            f"model.pooling_heads={heads}; use model.pooling_heads={nearest_heads(backbone.spec.width, heads)}"
        )
    return backbone


def _without_head(config: Config) -> Any:
    return build_model(config.model.name, num_classes=0, **spec_options(config, fit_frames=True))


def _mixing(data: DataConfig) -> Mixing:
    return Mixing(data.mixup, data.cutmix, data.mix_prob, data.mix_switch_prob, data.mix_group)


def _num_frames(config: Config, fit_frames: bool) -> int:
    """Return the frames per segment, after surplus ones are dropped or the last one is repeated to fill a cube."""
    frames, remainder = config.data.num_frames // config.data.segments, config.data.tubelet_remainder
    name, fields = config.model.name, spec_fields(config.model.name, config.model.spec)
    tubelet = fields.get("tubelet_size", preset(name).tubelet_size)
    if remainder == "error" or frames % tubelet == 0:
        return frames
    if not fit_frames:
        raise ConfigError(
            f"data.tubelet_remainder={remainder} needs a classifier, not task={config.task}; use "
            "data.tubelet_remainder=error"
        )
    return frames // tubelet * tubelet if remainder == "drop" else -(-frames // tubelet) * tubelet
