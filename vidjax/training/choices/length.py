"""Choose the length of a run and its batch size from the number of training videos.

The published recipes (1600 epochs of 240,000 videos in batches of 2048, and 3200 epochs of 9,500 videos in batches of
192) would train only 47 and 1000 steps on a folder of 60 videos. Here the length follows a curve through the published
points, with a minimum number of steps. Tiny models are an exception: their quality depends mainly on the number of
steps and hardly on the number of videos.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from vidjax.config import Config, left_open, with_keys
from vidjax.tasks import TASKS

VALIDATIONS = 50  # per run, at most
WARMUP = 0.05  # as a share of the run
UCF101 = 9537  # training videos of split 1, one of the published points; Kinetics-400 is the other


@dataclasses.dataclass(frozen=True)
class Scale:
    """The dependence of a run's length and batch on the number of videos.

    Attributes:
      videos_per_row: the batch is the number of videos divided by this, rounded down to a power of two.
      smallest, largest: limits of the batch.
      steps: function (videos, steps per epoch) -> steps of the run.
      warmup_epochs: maximum length of the warm-up, in epochs.
    """

    videos_per_row: float
    smallest: int
    largest: int
    steps: Callable[[int, float], float]
    warmup_epochs: float = math.inf


def _tiny(steps: int, epochs: float = math.inf, fewest: int = 0) -> Callable[[int, float], float]:
    """A length of `epochs`, but at least `fewest` steps and at most `steps`, a limit that grows beyond 5000 videos."""

    def of(videos: int, per_epoch: float) -> float:
        return min(max(fewest, epochs * per_epoch), steps * max(1.0, math.sqrt(videos / 5000)))

    return of


def _published(epochs: float, power: float, fewest: int, most: int, steps: int) -> Callable[[int, float], float]:
    """`epochs` on UCF101, `fewest` to `most` elsewhere, by a power of the number of videos; at least `steps` steps."""
    return lambda videos, per_epoch: max(steps, per_epoch * min(max(epochs * (UCF101 / videos) ** power, fewest), most))


# With these lengths, tiny models train on a CPU for a quarter of an hour. The other lengths are from VideoMAE's scripts
# for Kinetics-400 and UCF101.
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
    """Choose the batch, the epochs, the warm-up, and when to validate and save, unless the configuration sets them.

    Args:
      num_videos: number of training videos.
      row_blocks: number of parts into which the devices divide the rows of a batch.
    """
    scored = TASKS.find(config.task).evaluator is not None  # pre-training is not scored, and takes longer
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
    """Videos per step: a power of two within the limits, rounded up to a multiple of `row_blocks`."""
    wanted = 2 ** math.floor(math.log2(max(num_videos / scale.videos_per_row, 1)))
    return math.ceil(min(max(wanted, scale.smallest), scale.largest) / row_blocks) * row_blocks
