"""The optimiser of a run: the rule, its learning rate, and what is clipped, decayed or frozen."""

from vidjax.training.optim.learning_rate import RunLength, Schedule
from vidjax.training.optim.optimizer import GroupClip, Optimizer, build_optimizer

__all__ = ["GroupClip", "Optimizer", "RunLength", "Schedule", "build_optimizer"]
