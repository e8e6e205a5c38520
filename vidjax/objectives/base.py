"""What the training loop asks of an objective."""

from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Batch = dict[str, Array]
Metrics = dict[str, Array]
Params = Any  # a pytree of arrays
Rngs = dict[str, Array]  # keys of the streams "mask", "augment" and "dropout"


@runtime_checkable
class Objective(Protocol):
    """Something to learn.

    Attributes:
      module: the Linen module that is trained.
      train_flops_per_clip: of the forward and backward pass, 2 x MACs.
    """

    module: Any

    @property
    def train_flops_per_clip(self) -> float: ...

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Any]:
        """Parameters and the objective's own state (`extra`); of `batch`, arrays or shapes, only shapes are used."""
        ...

    def loss(
        self, params: Params, extra: Any, batch: Batch, rngs: Rngs, train: bool
    ) -> tuple[Array, tuple[Metrics, Any]]:
        """The mean loss over valid rows, scalar metrics (means over valid rows), and the next `extra`."""
        ...

    def after_update(self, params: Params, extra: Any, step: Array) -> Any:
        """The next `extra`, once the optimiser has moved the parameters."""
        ...


def mean_over_valid(values: Float[Array, "b"], valid: Bool[Array, "b"]) -> Float[Array, ""]:
    """Mean over the rows that are not padding; 0 when all are."""
    valid = valid.astype(jnp.float32)
    return jnp.sum(jnp.where(valid > 0, values, 0.0)) / jnp.maximum(valid.sum(), 1.0)
