"""What is learned: an objective by the name in `config.task`."""

from vidjax.config import Config
from vidjax.errors import ConfigError
from vidjax.models import build_model
from vidjax.models.projection import ProjectedTimeSformer
from vidjax.models.timesformer import TimeSformerSpec
from vidjax.objectives.base import Objective
from vidjax.objectives.classification import Classification
from vidjax.objectives.masked_autoencoding import MaskedAutoencoding
from vidjax.objectives.self_distillation import SelfDistillation

__all__ = ["Classification", "MaskedAutoencoding", "Objective", "SelfDistillation", "build_objective"]

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


def build_objective(config: Config, num_classes: int, *, total_steps: int = 1) -> Objective:
    """The objective of a run, with its module.

    Args:
      config: the run.
      num_classes: of the data set; only classification uses it.
      total_steps: of the run; only self-distillation, whose teacher slows down over a run, uses it.

    Raises:
      ConfigError: when task, model and data do not fit, or the mask hides nothing or everything.
    """
    model, data = config.model, config.data
    options = {
        "num_frames": data.num_frames,
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
    if config.task == "classification":
        module = build_model(model.name, num_classes=num_classes, **options)
        return Classification(
            module, data.mean, data.std, label_smoothing=config.optim.label_smoothing,
            erase=data.erase, mixup=data.mixup, cutmix=data.cutmix,
            mix_prob=data.mix_prob, mix_switch_prob=data.mix_switch_prob,
        )  # fmt: skip
    raise ConfigError(
        f"config.task={config.task!r} is unknown; choose masked_autoencoding, classification or self_distillation"
    )


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
