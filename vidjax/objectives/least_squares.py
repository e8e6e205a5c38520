"""Least squares: the mean squared error of a module's outputs, for targets of any size.

Source: `MSELoss` on the raw outputs, VideoMamba's engines/engine_for_finetuning_regression.py:14.
"""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from vidjax.objectives.base import Batch, Metrics, Params, Rngs, mean_over_valid, row_keys
from vidjax.objectives.mixing import random_erase
from vidjax.objectives.supervised import Supervised


@dataclasses.dataclass(frozen=True)
class LeastSquares(Supervised):
    """Squared error of every output against its target.

    Attributes:
      erase: probability of random erasing, in training only.
    """

    erase: float = 0.0

    def loss(
        self, params: Params, extra: Any, batch: Batch, rngs: Rngs, train: bool
    ) -> tuple[Float[Array, ""], tuple[Metrics, Any]]:
        """Compute the loss from `video` (uint8), `target` (b k) and `valid`.

        Training also uses the rng streams "augment" and "dropout".
        """
        clips = self.normalized(batch["video"])
        if train and self.erase > 0:
            clips = random_erase(row_keys(rngs["augment"], batch), clips, self.erase)
        errors = jnp.square(self.logits(params, clips, rngs, train) - batch["target"])
        return mean_over_valid(errors.mean(axis=1), batch["valid"]), ({}, extra)
