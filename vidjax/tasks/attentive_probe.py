"""Attentive probes: train a grid of attention heads on a frozen backbone, and choose one by validation."""

from __future__ import annotations

from vidjax.config import Config
from vidjax.data.sources.base import VideoSource
from vidjax.errors import ConfigError
from vidjax.evaluation.attentive_probe import ProbeEvaluator
from vidjax.objectives import AttentiveProbe, configured
from vidjax.tasks._refuse import refuse
from vidjax.tasks._task import Answer, Task
from vidjax.viz.curves import Curve

# Settings that would let one head's gradients change another's updates, or that the grid replaces.
_SHARED = (
    "optim.clip_norm", "optim.clip_group", "optim.clip_each", "optim.skip_spikes", "optim.layer_decay",
    "optim.final_weight_decay", "optim.frozen_epochs",
)  # fmt: skip


def build(config: Config, num_classes: int, total_steps: int, source: VideoSource | None) -> AttentiveProbe:
    """Build the grid of heads on the frozen backbone of config.model."""
    del total_steps, source
    return configured.attentive_probe(config, num_classes)


def check(config: Config) -> None:
    """Refuse an empty grid, rates that cannot be scaled, and settings that do not apply to independent heads."""
    refuse(config, "optim.class_weights")
    optim, model = config.optim, config.model
    for name in ("head_learning_rates", "head_weight_decays"):
        values = getattr(optim, name)
        if not values:
            raise ConfigError(f"optim.{name} is empty, so there is no head to train; give at least one value")
        if min(values) < 0:
            raise ConfigError(f"optim.{name} has {min(values):g}, which must be at least 0")
    if optim.base_lr <= 0:
        raise ConfigError("optim.base_lr=0 leaves the heads no schedule to follow; set it above 0, such as 1e-3")
    for key in _SHARED:
        name = key.partition(".")[2]
        value, unset = getattr(optim, name), getattr(Config().optim, name)
        if value != unset:
            raise ConfigError(
                f"{key}={value} does not apply to the independent heads of task=attentive_probe; set it to {unset}"
            )
    if model.lora.rank or model.head_widths:
        key, unset = (f"model.lora.rank={model.lora.rank}", 0) if model.lora.rank else ("model.head_widths", ())
        raise ConfigError(f"{key} is for other tasks; task=attentive_probe trains only attentive heads: use {unset}")


CURVES = (
    Curve("val/top1", "top-1 accuracy of the best head, one view", fraction=True),
    Curve("eval/top1", "top-1 accuracy of the chosen head, all videos", fraction=True),
)
TASK = Task(
    build=build,
    sized_by_data=True,
    check=check,
    evaluator=ProbeEvaluator,
    curves=CURVES,
    answer=Answer("classes", "softmax"),
)
