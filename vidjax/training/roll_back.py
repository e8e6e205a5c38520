"""Roll back to a sound checkpoint after several steps in a row that were not finite or were spikes.

The step number does not go back: the run continues as if all steps since that checkpoint had been skipped. So batches,
random numbers and learning rates are those of a run without a roll-back, and a resume needs no other state. The authors
of PaLM did this by hand (arXiv 2204.02311, section 5.1): they restarted about 100 steps before a spike, and skipped 200
to 500 batches.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from vidjax.errors import TrainingError
from vidjax.objectives.base import FIXED
from vidjax.training.checkpoints import Checkpoints
from vidjax.training.spikes import Recent
from vidjax.training.state import TrainState
from vidjax.training.telemetry import say


def roll_back(
    state: TrainState, shapes: TrainState, checkpoints: Checkpoints, *, bad: int, most: int
) -> tuple[int, TrainState]:
    """Restore the newest checkpoint whose next step was sound, but keep the current step number in the state.

    Later checkpoints are deleted, because the step after each of them was bad; if the one with the highest score is
    among them, it is kept.

    Args:
      state: the current state; its arrays are freed before the checkpoint is read.
      shapes: shapes of a state, with shardings.
      bad: the first of the bad steps in a row.
      most: maximum number of roll-backs of a run.

    Returns:
      the step of the checkpoint, and the state.

    Raises:
      TrainingError: when the run has gone back that often already, or there is no such checkpoint.
      ResumeError: when all checkpoints are damaged.
    """
    step, time = int(state.step), int(state.recent.roll_backs) + 1
    bad_steps = f"steps {bad} to {step - 1} were not finite or were spikes"
    remedy = "Lower optim.base_lr, set optim.clip_norm, or look at the data"
    if time > most:
        raise TrainingError(
            f"{bad_steps}, and the run has gone back {most} times before (train.max_roll_backs={most}). {remedy}"
        )
    checkpoints.wait()
    for leaf in jax.tree.leaves((state.params, state.opt_state, state.ema)):
        leaf.delete()
    found = checkpoints.restore(shapes, lambda meta: None, say, before=bad - 1)
    if not found:
        raise TrainingError(f"{bad_steps}, and there is no checkpoint followed by a sound step. {remedy}")
    number, restored = found
    checkpoints.delete_after(number)
    say(
        f"{bad_steps}: continuing from the parameters of step {number}; what was learned in steps {number + 1} to "
        f"{step} is dropped (roll-back {time} of at most {most})"
    )
    extra = restored.extra
    if isinstance(state.extra, Mapping) and FIXED in state.extra:
        extra = extra | {FIXED: state.extra[FIXED]}
    recent = _recent_after(restored.recent, state.recent)
    return number, restored._replace(step=state.step, extra=extra, recent=recent)


@jax.jit
def _recent_after(restored: Recent, now: Recent) -> Recent:
    return restored._replace(bad=jnp.zeros_like(restored.bad), roll_backs=now.roll_backs + 1)
