"""Estimate the pauses between a run's steps: validations, checkpoints and the final evaluation."""

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

_FORWARD = 1 / 3  # a forward pass's share of the FLOPs of a training step
_VIDEOS, _SECONDS = 4, 1.0  # limits of the estimate: videos to decode, and seconds to spend on them
_SAVING, _DISK = 0.2, 5e8  # seconds to save the smallest checkpoint, and bytes written per second


@dataclasses.dataclass(frozen=True)
class Pauses:
    """The number and the length of a run's pauses between steps.

    Attributes:
      checkpoints: number of checkpoints.
      checkpoint: seconds per checkpoint.
      validations: number of validations, each on one view per video.
      validation: seconds per validation.
      videos: number of videos in a validation.
      final: seconds of the final evaluation; 0 if there is none.
      views: the views per video of the final evaluation, in words.
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
        """Total time of all pauses."""
        return self.validations * self.validation + self.checkpoints * self.checkpoint + self.final

    @property
    def words(self) -> list[str]:
        """Descriptions of the pauses, one per kind."""
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
    """Estimate the pauses of a run.

    Args:
      steps: the remaining steps.
      state: the arrays that a checkpoint holds, or their shapes.
      evaluator: the run's evaluator, if any.
      flops_per_clip: FLOPs per clip of a training step.
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
        views=("one view" if whole.views == 1 else f"{whole.clips} x {whole.crops} views") + " of each video",
    )


def _every(count: int, steps: range) -> range:
    """The steps that are multiples of `count`; none if `count` is 0."""
    return range(math.ceil(steps[0] / count) * count, steps[-1] + 1, count) if count > 0 else range(0)


def _seconds(evaluator: Evaluator, recipe: ClipRecipe, flops_per_clip: float) -> float:
    """Seconds to score every video of the evaluation split once."""
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
