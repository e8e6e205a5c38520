"""Models by name: `build_model("videomae_base", num_classes=400)`."""

import dataclasses
import difflib

import flax.linen as nn

from vidjax.errors import ConfigError
from vidjax.models.videomae import VIDEOMAE_SPECS, VideoMAEClassifier, VideoMAEPretraining, VideoMAESpec

__all__ = ["VIDEOMAE_SPECS", "VideoMAEClassifier", "VideoMAEPretraining", "VideoMAESpec", "build_model", "model_names"]

# Family: sizes, module for pre-training, module for classification.
FAMILIES = {"videomae": (VIDEOMAE_SPECS, VideoMAEPretraining, VideoMAEClassifier)}


def model_names() -> tuple[str, ...]:
    """The names of all presets, family by family, small to large."""
    return tuple(f"{family}_{size}" for family, (specs, *_) in FAMILIES.items() for size in specs)


def build_model(name: str, *, num_classes: int | None = None, **overrides) -> nn.Module:
    """A Linen module with random weights to come; its `.spec` says what it is.

    Args:
      name: one of `model_names()`.
      num_classes: of the classifier; None builds the family's pre-training module.
      overrides: fields of the spec, such as `num_frames=32` or `dtype="bfloat16"`.

    Raises:
      ConfigError: for an unknown name or field, and for values that do not fit each other.
    """
    if name not in model_names():
        near = difflib.get_close_matches(name, model_names(), 1, 0.0)[0]
        raise ConfigError(f"model {name!r} is unknown; did you mean {near!r}? The presets: {', '.join(model_names())}")
    family, size = name.rsplit("_", 1)
    specs, pretraining, classifier = FAMILIES[family]
    fields = [field.name for field in dataclasses.fields(specs[size])]
    for key in overrides:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, 1, 0.0)[0]
            raise ConfigError(f"{name} has no option {key!r}; did you mean {near!r}?")
    spec = dataclasses.replace(specs[size], **overrides)
    if num_classes is None:
        return pretraining(spec)
    if num_classes < 1:
        raise ConfigError(f"num_classes={num_classes} must be at least 1")
    return classifier(spec, num_classes)
