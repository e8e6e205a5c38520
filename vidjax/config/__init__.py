"""The configuration of a run.

Experiments (`configs/*.py`) start from `defaults()`, which holds every key. Therefore `--config.data.root=DIR` works
for all of them, and the error for a misspelt key suggests the nearest name.
"""

from vidjax.config.changes import get_key, left_open, with_keys
from vidjax.config.experiments import defaults, keys, motion, parse_arg, smoke, smoke_that_learns
from vidjax.config.reading import checked, choices, fingerprint, flatten, from_dict, hint_of, hints_of, named_section
from vidjax.config.saved import SCHEMA, from_saved, other_schema, to_saved
from vidjax.config.schema import Config
from vidjax.config.sections.data import IMAGENET_MEAN, IMAGENET_STD, DataConfig, SourceConfig
from vidjax.config.sections.evaluation import EvalConfig, ProbeConfig
from vidjax.config.sections.model import LoraConfig, ModelConfig
from vidjax.config.sections.tasks import (
    AlignConfig,
    CaptionConfig,
    ContrastiveConfig,
    DistillConfig,
    JepaConfig,
    TeacherConfig,
    ZeroShotConfig,
)
from vidjax.config.sections.training import MeshConfig, OptimConfig, TrainConfig
from vidjax.config.shipped import find_experiment, shipped

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "SCHEMA",
    "AlignConfig",
    "CaptionConfig",
    "Config",
    "ContrastiveConfig",
    "DataConfig",
    "DistillConfig",
    "EvalConfig",
    "JepaConfig",
    "LoraConfig",
    "MeshConfig",
    "ModelConfig",
    "OptimConfig",
    "ProbeConfig",
    "SourceConfig",
    "TeacherConfig",
    "TrainConfig",
    "ZeroShotConfig",
    "checked",
    "choices",
    "defaults",
    "find_experiment",
    "fingerprint",
    "flatten",
    "from_dict",
    "from_saved",
    "get_key",
    "hint_of",
    "hints_of",
    "keys",
    "left_open",
    "motion",
    "named_section",
    "other_schema",
    "parse_arg",
    "shipped",
    "smoke",
    "smoke_that_learns",
    "to_saved",
    "with_keys",
]
