"""Training: the loop and what it uses - mesh, optimiser, state, step, checkpoints, telemetry, signals.

The loop is imported on first use, because the step, the mesh and the optimiser need none of the data libraries.
"""

from typing import TYPE_CHECKING

from vidjax._lazy import attach

if TYPE_CHECKING:
    from vidjax.training.loop import evaluate, num_train_steps, train

__all__ = ["evaluate", "num_train_steps", "train"]

__getattr__, __dir__ = attach("vidjax.training", dict.fromkeys(__all__, "vidjax.training.loop"))
