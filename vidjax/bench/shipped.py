"""The rows of the table of `vidjax bench step --all`: shipped experiments, each with a batch for one chip.

Experiment files need ml_collections, which a measuring machine may lack. This file therefore repeats the keys on which
a step depends; `tests/bench/test_all_steps.py` compares them with the experiment files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from vidjax.bench.settings import NUM_CLASSES
from vidjax.config import Config, with_keys
from vidjax.models import family_of, preset


@dataclasses.dataclass(frozen=True)
class Shipped:
    """A row of the table.

    Attributes:
      title: the row's name in the table.
      videos: videos per step, on one chip.
      keys: the experiment's values of the keys on which a step depends, adapted where so few videos require it.
      estimated_ms: milliseconds by the TPU compiler plus those by the kernels' schedules, both from
        docs/performance-log.md, by chip as named in `vidjax.aot.topology`; empty if there is no figure.
    """

    title: str
    videos: int
    keys: Mapping[str, Any]
    estimated_ms: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def config(self, tiny: bool = False) -> Config:
        """Return the configuration of a step; `tiny` uses the family's test model and two videos."""
        config = with_keys(Config(), {"data.global_batch": self.videos, **self.keys})
        return _tiny(config) if tiny else config


_PRETRAINING = {
    "task": "masked_autoencoding", "model.name": "videomae_base", "model.mask": "tube", "model.mask_ratio": 0.9,
    "data.num_frames": 16, "data.cubes": (2, 16),
    "optim.base_lr": 1.5e-4, "optim.min_lr": 1e-5, "optim.warmup_epochs": 40.0, "optim.beta2": 0.95,
    "optim.weight_decay": 0.05,
}  # fmt: skip
_MIXED = {
    "task": "classification", "data.num_classes": NUM_CLASSES, "data.num_frames": 16, "data.clips_per_decode": 2,
    "data.erase": 0.25, "data.mixup": 0.8, "data.cutmix": 1.0, "optim.warmup_epochs": 5.0, "optim.weight_decay": 0.05,
    "optim.label_smoothing": 0.1,
}  # fmt: skip

SHIPPED = {
    "videomae_k400:base": Shipped("VideoMAE-B pre-training", 32, _PRETRAINING, {"v5e": 73.4}),
    "videomae_v2_k400:base": Shipped(
        "VideoMAE V2-B pre-training, dual masking", 8,
        _PRETRAINING | {
            "model.decoder_mask": "running_cell", "model.decoder_mask_ratio": 0.5, "model.spec.decoder_depth": 4,
            "data.clips_per_decode": 4, "optim.base_lr": 1e-3, "optim.warmup_epochs": 20.0,
        },
        {"v5e": 57.9},
    ),
    "finetune_k400:base": Shipped(
        "VideoMAE-B fine-tuning", 12,
        _MIXED | {
            "model.name": "videomae_base", "model.drop_path": 0.1, "data.mix_group": 12,
            "optim.base_lr": 5e-4, "optim.min_lr": 1e-6, "optim.layer_decay": 0.75,
        },
        {"v5e": 246.3},
    ),
    "timesformer_k400:base": Shipped(
        "TimeSformer-B", 8,
        {
            "task": "classification", "model.name": "timesformer_base", "model.drop_path": 0.1,
            "data.num_classes": NUM_CLASSES, "data.num_frames": 8,
            "data.mean": (0.45, 0.45, 0.45), "data.std": (0.225, 0.225, 0.225),
            "optim.name": "sgd", "optim.base_lr": 0.005, "optim.reference_batch": 64, "optim.schedule": "steps",
            "optim.step_epochs": (11.0, 14.0), "optim.step_factors": (0.1, 0.01), "optim.momentum": 0.9,
            "optim.nesterov": True, "optim.weight_decay": 1e-4, "optim.decayed": "all",
        },
        {"v5e": 96.3},
    ),
    "svt_k400:base": Shipped(
        "SVT", 2,
        {
            "task": "self_distillation", "model.name": "timesformer_base", "model.drop_path": 0.1,
            "data.num_frames": 8, "data.global_views": (8, 8), "data.local_views": (8,) * 8, "data.local_size": 96,
            "distill.prototypes": 65536, "distill.teacher_temp": 0.04, "distill.teacher_temp_start": 0.04,
            "distill.teacher_momentum": 0.996,
            "optim.base_lr": 5e-4, "optim.min_lr": 8e-6, "optim.warmup_epochs": 10.0, "optim.weight_decay": 0.04,
            "optim.final_weight_decay": 0.4, "optim.decayed": "matrices", "optim.clip_each": 3.0,
            "optim.frozen_epochs": 1.0,
        },
        {"v5e": 104.9},
    ),
    "vivit_k400:base": Shipped(
        "ViViT-B, model 1", 8,
        {
            "task": "classification", "model.name": "vivit_base",
            "data.num_classes": NUM_CLASSES, "data.num_frames": 32,
            "data.mean": (0.5, 0.5, 0.5), "data.std": (0.5, 0.5, 0.5),
            "optim.name": "sgd", "optim.base_lr": 0.1, "optim.reference_batch": 64, "optim.momentum": 0.9,
            "optim.min_lr": 0.0, "optim.warmup_epochs": 2.5, "optim.weight_decay": 0.0, "optim.clip_norm": 1.0,
            "optim.clip_group": 2,
        },
        {"v5e": 197.5},
    ),
    "videomamba_k400:middle": Shipped(
        "VideoMamba-M", 4,
        _MIXED | {
            "model.name": "videomamba_middle", "model.spec.merge_directions": "sum", "model.drop_path": 0.8,
            "data.mix_group": 8,
            "optim.base_lr": 2e-4, "optim.min_lr": 2e-6, "optim.warmup_lr": 2e-6,
        },
        {"v5e": 394.7},
    ),
    "vjepa2:large": Shipped(
        "V-JEPA 2-L pre-training", 8,
        {
            "task": "feature_prediction", "model.name": "vjepa2_large",
            "data.num_frames": 16, "data.image_size": 256, "data.cubes": (2, 16),
            "jepa.blocks": (8, 2), "jepa.block_area": (0.15, 0.7), "jepa.block_aspect": (0.75, 1.5),
            "jepa.mask_group": 24, "jepa.teacher_momentum": 0.99925,
            "optim.base_lr": 5.25e-4, "optim.min_lr": 5.25e-4, "optim.reference_batch": 3072,
            "optim.warmup_lr": 1e-4, "optim.warmup_steps": 12_000, "optim.weight_decay": 0.04,
            "optim.decayed": "matrices",
        },
        {"v5e": 344.4},
    ),
}  # fmt: skip


def _tiny(config: Config) -> Config:
    """Replace the model by the family's test model, and take two videos."""
    name = f"{family_of(config.model.name)[0]}_tiny"
    shape, clips = preset(name), 2 * config.data.clips_per_decode
    keys = {
        "model.name": name, "model.dtype": "", "data.num_frames": shape.num_frames, "data.image_size": shape.image_size,
        "data.global_batch": 2, "data.mix_group": clips if config.data.mix_group else 0,
        "data.cubes": (shape.tubelet_size, shape.patch_size) if config.data.cubes else (),
        "data.local_size": 4 * shape.patch_size,
        "distill.prototypes": 256, "distill.hidden_dim": 128, "distill.bottleneck_dim": 32,
    }  # fmt: skip
    return with_keys(config, keys)
