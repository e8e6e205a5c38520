"""The random streams of a step: draws from one stream do not affect the others."""

from __future__ import annotations

import jax
from jaxtyping import Array

STREAMS = ("mask", "dropout", "augment")


def streams(key: Array, part: Array | None = None) -> dict[str, Array]:
    """The random key of each stream of a step.

    Args:
      part: number of a micro-batch or of a group of rows. Only dropout differs between parts: the other streams are
        drawn per row, or per group, by its position in the step's batch.
    """
    rngs = {name: jax.random.fold_in(key, number) for number, name in enumerate(STREAMS)}
    if part is not None:
        rngs["dropout"] = jax.random.fold_in(rngs["dropout"], part)
    return rngs
