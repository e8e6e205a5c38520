"""The training loop and its parts: mesh, optimiser, state, step, checkpoints, telemetry and stop signals.

The loop is imported on first use: it needs the data libraries, whereas the step, the mesh and the optimiser do not.
"""

from typing import TYPE_CHECKING

from vidjax._lazy import attach

if TYPE_CHECKING:
    from vidjax.training.loop import evaluate, num_train_steps, train

__all__ = ["evaluate", "num_train_steps", "train"]

__getattr__, __dir__ = attach("vidjax.training", dict.fromkeys(__all__, "vidjax.training.loop"))
