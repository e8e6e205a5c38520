"""Regression by concordance: 1 - CCC over the whole batch, however it is split over devices and micro-batches.

Source: Lin's concordance correlation coefficient (1989), as a loss for affect recognition (Kossaifi et al. 2017).
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt8

from vidjax.objectives.base import Batch, Metrics, Params, Rngs, StatisticalObjective
from vidjax.objectives.supervised import Supervised

Moments = dict[str, Array]


@dataclasses.dataclass(frozen=True)
class Regression(Supervised, StatisticalObjective):
    """1 - the mean over targets of the concordance correlation coefficient of tanh(outputs)."""

    def statistics(self, params: Params, batch: Batch, rngs: Rngs, train: bool) -> Moments:
        """Return the moments of a (micro-)batch's predictions and targets, which determine the loss.

        The batch needs `video` (uint8), `target` (b k) in [-1, 1] and `valid`. Training also uses the rng stream
        "dropout".
        """
        logits = self.logits(params, self.normalized(batch["video"]), rngs, train)
        return moments(jnp.tanh(logits), batch["target"], batch["valid"])

    def loss_from(self, parts: Moments) -> tuple[Float[Array, ""], Metrics]:
        """Compute the loss of a batch from the moments of its parts, stacked on axis 0; the metric ccc is 1 - loss."""
        ccc = concordance(merge(parts)).mean()
        return 1.0 - ccc, {"ccc": ccc}

    def scores(self, params: Params, clips: UInt8[Array, "b t h w c"]) -> Float[Array, "b k"]:
        """Return predictions in (-1, 1), without any randomness."""
        return jnp.tanh(super().scores(params, clips))


def moments(predictions: Float[Array, "b k"], targets: Float[Array, "b k"], valid: Bool[Array, " b"]) -> Moments:
    """Return the count, means, and sums of centred squares and products over valid rows; the count is a scalar."""
    weight = valid.astype(jnp.float32)[:, None]
    count = weight.sum()
    mean_p, mean_t = ((x * weight).sum(axis=0) / jnp.maximum(count, 1.0) for x in (predictions, targets))
    off_p, off_t = (predictions - mean_p) * weight, (targets - mean_t) * weight
    return {
        "count": count,
        "mean_p": mean_p,
        "mean_t": mean_t,
        "square_p": (off_p * off_p).sum(axis=0),
        "square_t": (off_t * off_t).sum(axis=0),
        "product": (off_p * off_t).sum(axis=0),
    }


def merge(parts: Moments) -> Moments:
    """Merge the moments of parts, stacked on axis 0, without cancellation of large sums (Chan et al. 1979)."""
    share = parts["count"][:, None]
    count = share.sum()
    mean_p, mean_t = ((parts[name] * share).sum(axis=0) / jnp.maximum(count, 1.0) for name in ("mean_p", "mean_t"))
    off_p, off_t = parts["mean_p"] - mean_p, parts["mean_t"] - mean_t
    return {
        "count": count,
        "mean_p": mean_p,
        "mean_t": mean_t,
        "square_p": (parts["square_p"] + share * off_p * off_p).sum(axis=0),
        "square_t": (parts["square_t"] + share * off_t * off_t).sum(axis=0),
        "product": (parts["product"] + share * off_p * off_t).sum(axis=0),
    }


def concordance(whole: Moments) -> Float[Array, " k"]:
    """Compute 2 cov / (var + var + squared difference of means) per target, with population variances; 0 for 0/0.

    The sums of squares and products are variances and covariances times the count, so the difference of means is
    multiplied by the count too.
    """
    difference = jnp.square(whole["mean_p"] - whole["mean_t"]) * whole["count"]
    below = whole["square_p"] + whole["square_t"] + difference
    return 2.0 * whole["product"] / jnp.where(below > 0, below, 1.0)
