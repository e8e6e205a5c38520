"""What is learned: an objective by the name in `config.task`."""

from vidjax.config import Config
from vidjax.errors import ConfigError
from vidjax.models import build_model
from vidjax.objectives.base import Objective
from vidjax.objectives.classification import Classification
from vidjax.objectives.masked_autoencoding import MaskedAutoencoding

__all__ = ["Classification", "MaskedAutoencoding", "Objective", "build_objective"]

# Options that only some families have; 0 or an empty string in the configuration leaves the preset's.
FAMILY_OPTIONS = ("patch_size", "tubelet_size", "decoder_depth", "factorization", "temporal_depth")


def build_objective(config: Config, num_classes: int) -> Objective:
    """The objective of a run, with its module.

    Args:
      config: the run.
      num_classes: of the data set; only classification uses it.

    Raises:
      ConfigError: when model and data do not fit, or the mask hides nothing or everything.
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
    raise ConfigError(f"config.task={config.task!r} is unknown; choose masked_autoencoding or classification")
