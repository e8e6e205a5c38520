"""Training: the loop and what it stands on - mesh, optimiser, state, step, checkpoints, telemetry, signals."""

from vidjax.training.loop import evaluate, num_train_steps, train

__all__ = ["evaluate", "num_train_steps", "train"]
