"""Flax modules of video models: one file per family, and `build_model`, which builds a model by name."""

from vidjax.models.family import Family
from vidjax.models.presets import FAMILIES, build_model, family_of, model_names, preset
from vidjax.models.spec import ClipSpec, Positions

__all__ = ["FAMILIES", "ClipSpec", "Family", "Positions", "build_model", "family_of", "model_names", "preset"]
