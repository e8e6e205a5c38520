"""How long a run is and how many videos a step has, from the number of training videos.

The published recipes (1600 epochs of 240,000 videos in batches of 2048, 3200 of 9,500 in batches of 192) would give a
folder of 60 videos no step to speak of. The larger models follow lines through the published points, with a least
number of steps; what a tiny model learns depends on its steps and hardly on the videos that they are made of.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from vidjax.config import Config, left_open, with_keys
from vidjax.tasks import TASKS

VALIDATIONS = 50  # of a run, at most
WARMUP = 0.05  # share of the run
UCF101 = 9537  # training videos of split 1, a published point; Kinetics-400 is the other


@dataclasses.dataclass(frozen=True)
class Scale:
    """How a run grows with the number of videos.

    Attributes:
      videos_per_row: the batch is the number of videos divided by it, as a power of two within smallest and largest.
      steps: (videos, steps an epoch) -> of the run.
      warmup_epochs: at most.
    """

    videos_per_row: float
    smallest: int
    largest: int
    steps: Callable[[int, float], float]
    warmup_epochs: float = math.inf


def _tiny(steps: int, epochs: float = math.inf, fewest: int = 0) -> Callable[[int, float], float]:
    """So many epochs, of at least `fewest` steps, and at most so many steps for up to 5000 videos."""

    def of(videos: int, per_epoch: float) -> float:
        return min(max(fewest, epochs * per_epoch), steps * max(1.0, math.sqrt(videos / 5000)))

    return of


def _published(epochs: float, power: float, fewest: int, most: int, steps: int) -> Callable[[int, float], float]:
    """So many epochs of UCF101 and, by a power of the number of videos, those of Kinetics-400; at least some steps."""
    return lambda videos, per_epoch: max(steps, per_epoch * min(max(epochs * (UCF101 / videos) ** power, fewest), most))


# For tiny models, what a CPU makes in a quarter of an hour; for others, VideoMAE's scripts for Kinetics-400 and UCF101.
PRETRAIN = {
    # On 169 videos, features were no better than those of random weights after 600 steps, and far better after 2400.
    "tiny": Scale(4, 16, 16, _tiny(2400, epochs=224, fewest=600)),
    "": Scale(48, 16, 2048, _published(3200, 0.21, 800, 3200, steps=10_000), warmup_epochs=40),
}
FINETUNE = {
    "tiny": Scale(4, 8, 8, _tiny(2000)),
    "": Scale(74, 16, 256, _published(100, 0.1, 50, 200, steps=1000), warmup_epochs=5),
}


def choose_length(config: Config, num_videos: int, row_blocks: int) -> Config:
    """Choose the batch, the epochs, the warm-up and when to validate, where these are left open.

    Args:
      num_videos: of the training split.
      row_blocks: parts that the rows of a batch are divided into over the devices.
    """
    scored = TASKS.find(config.task).evaluator is not None  # pre-training takes longer, and is not scored
    scales = FINETUNE if scored else PRETRAIN
    scale = scales["tiny" if config.model.name.endswith("_tiny") else ""]
    opened, chosen = left_open(config), {}
    if "data.global_batch" in opened:
        chosen["data.global_batch"] = batch_for(num_videos, scale, row_blocks)
    per_epoch = num_videos / chosen.get("data.global_batch", config.data.global_batch)
    steps = config.train.steps
    if "train.epochs" in opened and not steps:
        chosen["train.epochs"] = float(math.ceil(scale.steps(num_videos, per_epoch) / per_epoch))
    steps = steps or chosen.get("train.epochs", config.train.epochs) * per_epoch
    if "optim.warmup_epochs" in opened:
        chosen["optim.warmup_epochs"] = round(min(WARMUP * steps / per_epoch, scale.warmup_epochs), 2)
    if "train.eval_every" in opened:
        chosen["train.eval_every"] = max(1, round(per_epoch), math.ceil(steps / VALIDATIONS)) if scored else 0
    if "train.checkpoint_every" in opened:
        chosen["train.checkpoint_every"] = chosen.get("train.eval_every") or max(1, math.ceil(steps / 10))
    return with_keys(config, chosen)


def batch_for(num_videos: int, scale: Scale, row_blocks: int) -> int:
    """Videos of a step: a power of two, rounded up to whole rows for each device."""
    wanted = 2 ** math.floor(math.log2(max(num_videos / scale.videos_per_row, 1)))
    return math.ceil(min(max(wanted, scale.smallest), scale.largest) / row_blocks) * row_blocks
