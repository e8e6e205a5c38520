"""Detect, on the device, steps whose loss or gradient norm is unusually high.

The rule is that of OLMo's SkipStepOptimizer, which Levanter (optim/skipstep.py) and MaxText (optimizers.py,
`skip_step_on_spikes`) also use: a value is a spike if it is more than a given number of standard deviations above the
mean of a window of the latest steps. The rule applies once half of the window is filled. Spikes enter the window, so
that a lasting new level becomes the mean.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from vidjax.config import Config


class Recent(NamedTuple):
    """The part of a run's state that remembers its latest steps; replicated on all devices.

    Attributes:
      losses, grad_norms: values of the last finite steps, in a ring buffer.
      count: number of finite steps so far, including those no longer in the buffer.
      bad: how many of the latest steps in a row were not finite or were spikes.
      roll_backs: how many times the run went back to a checkpoint.
    """

    losses: Float[Array, " window"]
    grad_norms: Float[Array, " window"]
    count: Int[Array, ""]
    bad: Int[Array, ""]
    roll_backs: Int[Array, ""]


def remembered(config: Config) -> int:
    """The number of steps that a run remembers; 0 if the configuration does not use them."""
    return config.optim.spike_window if config.optim.skip_spikes or config.train.roll_back_after else 0


def no_steps(window: int) -> Recent | tuple[()]:
    """An empty memory, for the first step; () for a window of 0."""
    if not window:
        return ()
    ring, zero = jnp.zeros(window, jnp.float32), jnp.zeros((), jnp.int32)
    return Recent(ring, ring, zero, zero, zero)


def limit(values: Float[Array, " window"], count: Int[Array, ""], deviations: float) -> Float[Array, ""]:
    """The limit above which the next value is a spike; infinite until half of the window is filled."""
    known = jnp.minimum(count, len(values))
    there = jnp.arange(len(values)) < known
    mean = jnp.sum(values, where=there) / jnp.maximum(known, 1)
    variance = jnp.sum(jnp.square(values - mean), where=there) / jnp.maximum(known - 1, 1)
    return jnp.where(known >= max(2, len(values) // 2), mean + deviations * jnp.sqrt(variance), jnp.inf)


def judge(
    recent: Recent, loss: Float[Array, ""], grad_norm: Float[Array, ""], deviations: float
) -> tuple[Bool[Array, ""], Recent, dict[str, Array]]:
    """Return whether a step is sound, the memory after it, and metrics.

    Args:
      deviations: standard deviations above the mean that make a spike; 0 to reject only values that are not finite.
    """
    sound = finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
    metrics = {"train/roll_backs": recent.roll_backs}
    if deviations:
        limits = [limit(values, recent.count, deviations) for values in (recent.losses, recent.grad_norms)]
        sound = finite & (loss <= limits[0]) & (grad_norm <= limits[1])
        metrics |= {
            "train/skipped": finite & ~sound,
            "train/loss_limit": limits[0],
            "train/grad_norm_limit": limits[1],
        }
    place = recent.count % len(recent.losses)
    after = Recent(
        losses=recent.losses.at[place].set(jnp.where(finite, loss, recent.losses[place])),
        grad_norms=recent.grad_norms.at[place].set(jnp.where(finite, grad_norm, recent.grad_norms[place])),
        count=recent.count + finite,
        bad=jnp.where(sound, 0, recent.bad + 1),
        roll_backs=recent.roll_backs,
    )
    return sound, after, metrics
