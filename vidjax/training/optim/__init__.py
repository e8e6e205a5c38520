"""The optimiser of a run: update rule, learning rate, clipping, weight decay and freezing."""

from vidjax.training.optim.learning_rate import RunLength, Schedule
from vidjax.training.optim.optimizer import GroupClip, Optimizer, build_optimizer

__all__ = ["GroupClip", "Optimizer", "RunLength", "Schedule", "build_optimizer"]
