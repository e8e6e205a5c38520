"""What the steps of a run wait for: validations, checkpoints, the final evaluation; and how long these should take."""

from __future__ import annotations

import dataclasses
import math
import time

import jax

from vidjax.config import TrainConfig
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.clips.row_to_clips import LoadEval
from vidjax.data.loader import decoders
from vidjax.evaluation import Evaluator
from vidjax.training.choices.speed import device_rate

_FORWARD = 1 / 3  # of the FLOPs of a training step
_VIDEOS, _SECONDS = 4, 1.0  # that are decoded to measure it, at most
_SAVING, _DISK = 0.2, 5e8  # seconds of a checkpoint however small, and bytes a second


@dataclasses.dataclass(frozen=True)
class Pauses:
    """How often a run stops for something else than a step, and for how many seconds.

    Attributes:
      validations: on one view of each of `videos`, of `validation` seconds each.
      checkpoints: of `checkpoint` seconds each.
      final: seconds of the evaluation at the end, 0 where there is none; views: of each video in it, in words.
    """

    checkpoints: int
    checkpoint: float
    validations: int = 0
    validation: float = 0.0
    videos: int = 0
    final: float = 0.0
    views: str = ""

    @property
    def seconds(self) -> float:
        """All of them together."""
        return self.validations * self.validation + self.checkpoints * self.checkpoint + self.final

    @property
    def words(self) -> list[str]:
        """What there is of each."""
        found = []
        if self.validations:
            found.append(f"{self.validations} validation{_s(self.validations)} of {self.videos} video{_s(self.videos)}")
        found.append(f"{self.checkpoints} checkpoint{_s(self.checkpoints)}")
        if self.views:
            found.append(f"a final evaluation of {self.views}")
        return found


def estimate_pauses(
    config: TrainConfig, steps: range, state: object, evaluator: Evaluator | None, flops_per_clip: float
) -> Pauses:
    """Estimate what a run will wait for, besides its steps.

    Args:
      steps: that are still to be made.
      state: arrays or their shapes, which a checkpoint holds.
      evaluator: of the run.
      flops_per_clip: of a training step.
    """
    size = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    scored = evaluator is not None and config.eval_every > 0
    last = {steps[-1]}
    validations = {*_every(config.eval_every, steps), *last} if scored else set()
    checkpoints = {*validations, *_every(config.checkpoint_every, steps), *last}
    saved = Pauses(len(checkpoints), _SAVING + size / _DISK)
    if evaluator is None:
        return saved
    whole, one = evaluator.recipe, evaluator.recipe.one_view()
    return dataclasses.replace(
        saved,
        validations=len(validations),
        validation=_seconds(evaluator, one, flops_per_clip) if validations else 0.0,
        videos=len(evaluator.source),
        final=_seconds(evaluator, whole, flops_per_clip),
        views="one view" if whole.views == 1 else f"{whole.clips} x {whole.crops} views of each",
    )


def _every(count: int, steps: range) -> range:
    """Those of the steps whose number is a multiple of `count`; none for 0."""
    return range(math.ceil(steps[0] / count) * count, steps[-1] + 1, count) if count > 0 else range(0)


def _seconds(evaluator: Evaluator, recipe: ClipRecipe, flops_per_clip: float) -> float:
    """Seconds to score each video of the evaluation split once."""
    load, rows, since = LoadEval(evaluator.source, recipe), len(evaluator.source), time.perf_counter()
    count = 0
    while count < min(rows, _VIDEOS) and (not count or time.perf_counter() - since < _SECONDS):
        load.map(count * rows // _VIDEOS)
        count += 1
    decode = (time.perf_counter() - since) / count / decoders(evaluator.config.data) / jax.process_count()
    compute = recipe.views * _FORWARD * flops_per_clip / (device_rate() * jax.device_count())
    return rows * (decode + compute if jax.default_backend() == "cpu" else max(decode, compute))


def _s(count: int) -> str:
    return "s" * (count != 1)
