"""`Config`, every key of a run; each section is in a file of `vidjax.config.sections`.

No value is None. Where an empty string or a zero means "not set", the key's comment says so.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from vidjax.config.sections.data import DataConfig
from vidjax.config.sections.evaluation import EvalConfig, ProbeConfig
from vidjax.config.sections.model import ModelConfig
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
from vidjax.config.types import MayChange, Registered


@dataclasses.dataclass(frozen=True)
class Config:
    """The configuration of a run."""

    # Train, score a trained model, or fit probes to frozen features.
    mode: MayChange[Literal["train", "evaluate", "probe"]] = "train"
    # What to learn: the name of a file in vidjax/tasks, or module:ATTR for a task of your own.
    task: Annotated[str, Registered("vidjax.tasks")] = "masked_autoencoding"
    seed: int = 0  # Seed of the parameters, the order of the videos and every augmentation
    # Weights to start from: a run, or anything `from_pretrained` takes. Empty: random weights. If workdir holds no run,
    # mode=evaluate scores these weights.
    init_from: MayChange[str] = ""
    # Path of a JSON list, such as VideoMAE V2's label_710to400.json: for each class of the new head, the number of the
    # class to copy from init_from's head. Empty: if the numbers of classes differ, the new head starts from random
    # weights.
    init_label_map: MayChange[str] = ""
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    distill: DistillConfig = DistillConfig()
    align: AlignConfig = AlignConfig()
    teacher: TeacherConfig = TeacherConfig()
    jepa: JepaConfig = JepaConfig()
    caption: CaptionConfig = CaptionConfig()
    contrastive: ContrastiveConfig = ContrastiveConfig()
    zero_shot: ZeroShotConfig = ZeroShotConfig()
    probe: MayChange[ProbeConfig] = ProbeConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    mesh: MayChange[MeshConfig] = MeshConfig()
    eval: MayChange[EvalConfig] = EvalConfig()
