"""Several labels per clip: binary cross-entropy per class, with rare positives weighted up (Charades)."""

import dataclasses
from typing import Any

import jax
from jaxtyping import Array, Float

from vidjax.objectives.base import Batch, Metrics, Params, Rngs, mean_over_valid
from vidjax.objectives.supervised import Supervised


@dataclasses.dataclass(frozen=True)
class MultiLabel(Supervised):
    """Binary cross-entropy with any number of labels per clip.

    Attributes:
      pos_weight: factor on the loss of positive labels.
    """

    pos_weight: float = 1.0

    def loss(
        self, params: Params, extra: Any, batch: Batch, rngs: Rngs, train: bool
    ) -> tuple[Float[Array, ""], tuple[Metrics, Any]]:
        """Compute the loss from `video` (uint8), `labels` (b classes) of 0 and 1, and `valid`.

        Training also uses the rng stream "dropout".
        """
        logits = self.logits(params, self.normalized(batch["video"]), rngs, train)
        losses = binary_cross_entropy(logits, batch["labels"], self.pos_weight).mean(axis=-1)
        return mean_over_valid(losses, batch["valid"]), ({}, extra)


def binary_cross_entropy(
    logits: Float[Array, "b classes"], labels: Float[Array, "b classes"], pos_weight: float
) -> Float[Array, "b classes"]:
    """Compute -(pos_weight y log sigmoid(x) + (1 - y) log(1 - sigmoid(x))) elementwise."""
    return -(pos_weight * labels * jax.nn.log_sigmoid(logits) + (1 - labels) * jax.nn.log_sigmoid(-logits))
