"""Models by name: `build_model("videomae_base", num_classes=400)`."""

import dataclasses
import difflib

import flax.linen as nn

from vidjax.errors import ConfigError
from vidjax.models.spec import ClipSpec
from vidjax.models.timesformer import TIMESFORMER_SPECS, TimeSformerClassifier, TimeSformerEncoder, TimeSformerSpec
from vidjax.models.videomae import VIDEOMAE_SPECS, VideoMAEClassifier, VideoMAEPretraining, VideoMAESpec
from vidjax.models.videomamba import VIDEOMAMBA_SPECS, VideoMambaClassifier, VideoMambaSpec
from vidjax.models.vivit import VIVIT_SPECS, ViViTClassifier, ViViTSpec

__all__ = [
    "FAMILIES",
    "TIMESFORMER_SPECS",
    "VIDEOMAE_SPECS",
    "VIDEOMAMBA_SPECS",
    "VIVIT_SPECS",
    "ClipSpec",
    "Family",
    "TimeSformerClassifier",
    "TimeSformerEncoder",
    "TimeSformerSpec",
    "ViViTClassifier",
    "ViViTSpec",
    "VideoMAEClassifier",
    "VideoMAEPretraining",
    "VideoMAESpec",
    "VideoMambaClassifier",
    "VideoMambaSpec",
    "build_model",
    "family_of",
    "model_names",
]


@dataclasses.dataclass(frozen=True)
class Family:
    """The sizes of a family, its classifier, and its pre-training module where it has one of its own."""

    specs: dict[str, ClipSpec]
    classifier: type[nn.Module]
    pretraining: type[nn.Module] | None = None


FAMILIES = {
    "videomae": Family(VIDEOMAE_SPECS, VideoMAEClassifier, VideoMAEPretraining),
    "timesformer": Family(TIMESFORMER_SPECS, TimeSformerClassifier),
    "vivit": Family(VIVIT_SPECS, ViViTClassifier),
    "videomamba": Family(VIDEOMAMBA_SPECS, VideoMambaClassifier),
}


def model_names() -> tuple[str, ...]:
    """The names of all presets, family by family, small to large."""
    return tuple(f"{name}_{size}" for name, family in FAMILIES.items() for size in family.specs)


def family_of(name: str) -> tuple[str, str]:
    """Family and size of a preset: ("videomae", "base").

    Raises:
      ConfigError: for an unknown name, with the nearest.
    """
    if name not in model_names():
        near = difflib.get_close_matches(name, model_names(), 1, 0.0)[0]
        raise ConfigError(f"model {name!r} is unknown; did you mean {near!r}? The presets: {', '.join(model_names())}")
    return tuple(name.split("_", 1))


def build_model(name: str, *, num_classes: int | None = None, **overrides) -> nn.Module:
    """A Linen module with random weights to come; its `.spec` says what it is.

    Args:
      name: one of `model_names()`.
      num_classes: of the classifier; 0 leaves out its head; None builds the family's pre-training module.
      overrides: fields of the spec, such as `num_frames=32` or `dtype="bfloat16"`.

    Raises:
      ConfigError: for an unknown name or field, for values that do not fit each other, and for None where the family
        has no pre-training module.
    """
    family_name, size = family_of(name)
    family = FAMILIES[family_name]
    fields = [field.name for field in dataclasses.fields(family.specs[size])]
    for key in overrides:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, 1, 0.0)[0]
            raise ConfigError(f"{name} has no option {key!r}; did you mean {near!r}?")
    spec = family.specs[size].override(**overrides)
    if num_classes is None:
        if family.pretraining is None:
            raise ConfigError(f"{name} has no pre-training module of its own; give num_classes (0: without a head)")
        return family.pretraining(spec)
    if num_classes < 0:
        raise ConfigError(f"num_classes={num_classes} must be at least 0")
    return family.classifier(spec, num_classes)
