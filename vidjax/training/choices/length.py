"""How long a run is and how many videos a step has, from the number of training videos.

The published recipes (1600 epochs of 240,000 videos in batches of 2048, 3200 of 9,500 in batches of 192) would give a
folder of 60 videos no step to speak of. What they have in common with a small run is that a model needs a certain
number of steps, whatever it sees in them.
"""

from __future__ import annotations

import dataclasses
import math

from vidjax.config import Config, left_open, with_keys
from vidjax.tasks import TASKS

VALIDATIONS = 50  # of a run, at most
WARMUP = 0.05  # share of the run


@dataclasses.dataclass(frozen=True)
class Scale:
    """The bounds within which the number of videos decides.

    Attributes:
      batch: largest number of videos a step.
      steps: fewest steps of a run; epochs: most passes over the videos, unless that gives fewer steps than `steps`.
    """

    batch: int
    steps: int
    epochs: int


# By (task is pre-training, model is a tiny one).
SCALES = {
    (True, True): Scale(batch=32, steps=2000, epochs=100),
    (True, False): Scale(batch=256, steps=20000, epochs=1600),
    (False, True): Scale(batch=32, steps=1000, epochs=50),
    (False, False): Scale(batch=128, steps=4000, epochs=75),
}


def choose_length(config: Config, num_videos: int, row_blocks: int) -> Config:
    """Choose the batch, the epochs, the warm-up and when to validate, where these are left open.

    Args:
      num_videos: of the training split.
      row_blocks: parts that the rows of a batch are divided into over the devices.
    """
    labelled = TASKS.find(config.task).evaluator is not None  # pre-training takes longer, and is not scored
    scale, chosen = SCALES[not labelled, config.model.name.endswith("_tiny")], {}
    opened = left_open(config)
    if "data.global_batch" in opened:
        chosen["data.global_batch"] = batch_for(num_videos, scale, row_blocks)
    batch = chosen.get("data.global_batch", config.data.global_batch)
    per_epoch = num_videos / batch
    steps = config.train.steps
    if "train.epochs" in opened and not steps:
        chosen["train.epochs"] = epochs_for(per_epoch, scale)
    steps = steps or chosen.get("train.epochs", config.train.epochs) * per_epoch
    if "optim.warmup_epochs" in opened:
        chosen["optim.warmup_epochs"] = round(WARMUP * steps / per_epoch, 2)
    if "train.eval_every" in opened:
        chosen["train.eval_every"] = max(1, round(per_epoch), math.ceil(steps / VALIDATIONS)) if labelled else 0
    if "train.checkpoint_every" in opened:
        chosen["train.checkpoint_every"] = chosen.get("train.eval_every") or max(1, math.ceil(steps / 10))
    return with_keys(config, chosen)


def batch_for(num_videos: int, scale: Scale, row_blocks: int) -> int:
    """A quarter of the videos as a power of two, at least 8 and at most what the scale has; whole rows a device."""
    wanted = 2 ** round(math.log2(max(num_videos / 4, 1)))
    return math.ceil(min(max(wanted, 8), scale.batch) / row_blocks) * row_blocks


def epochs_for(per_epoch: float, scale: Scale) -> float:
    """As many as the scale has, or as make its number of steps where the videos are few."""
    return float(math.ceil(max(scale.epochs, scale.steps / per_epoch)))
