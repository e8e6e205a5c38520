"""Training: the loop and what it stands on - mesh, optimiser, state, step, checkpoints, telemetry, signals.

The loop is imported when it is first used: the step, the mesh and the optimiser need none of the data libraries.
"""

_LOOP = ("evaluate", "num_train_steps", "train")

__all__ = ["evaluate", "num_train_steps", "train"]


def __getattr__(name: str):
    if name in _LOOP:
        from vidjax.training import loop

        return getattr(loop, name)
    raise AttributeError(f"module 'vidjax.training' has no attribute {name!r}")
