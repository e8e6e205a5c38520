"""What the training loop asks of an objective."""

import abc
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Batch = dict[str, Array]
Metrics = dict[str, Array]
Params = Any  # a pytree of arrays
Rngs = dict[str, Array]  # keys of the streams "mask", "augment" and "dropout"


class Objective(abc.ABC):
    """Something to learn.

    Attributes:
      module: the Linen module that is trained.
      train_flops_per_clip: of the forward and backward pass, 2 x MACs.
      frozen: pattern of the parameters that the optimiser leaves alone; empty for none.
    """

    module: Any
    frozen = ""

    @property
    @abc.abstractmethod
    def train_flops_per_clip(self) -> float: ...

    @abc.abstractmethod
    def init(self, rng: Array, batch: Batch) -> tuple[Params, Any]:
        """Parameters and the objective's own state (`extra`); of `batch`, arrays or shapes, only shapes are used."""

    @abc.abstractmethod
    def loss(
        self, params: Params, extra: Any, batch: Batch, rngs: Rngs, train: bool
    ) -> tuple[Array, tuple[Metrics, Any]]:
        """The mean loss over what `weight` counts, scalar metrics (means likewise), and the next `extra`."""

    def weight(self, batch: Batch) -> Array:
        """What a micro-batch counts in the mean over a batch: its valid rows."""
        return batch["valid"].sum()

    def after_update(self, params: Params, extra: Any, step: Array) -> Any:
        """The next `extra`, once the optimiser has moved the parameters; unchanged where there is nothing to move."""
        del params, step
        return extra


@runtime_checkable
class StatisticalLoss(Protocol):
    """An objective whose loss is a function of statistics of the whole batch, which micro-batches can gather."""

    def statistics(self, params: Params, batch: Batch, rngs: Rngs, train: bool) -> dict[str, Array]:
        """Of a (micro-)batch."""
        ...

    def loss_from(self, parts: dict[str, Array]) -> tuple[Array, Metrics]:
        """The loss and metrics of a batch from the statistics of its parts, stacked on axis 0."""
        ...


@runtime_checkable
class Adopting(Protocol):
    """An objective whose own state begins anew with parameters that were taken over from elsewhere."""

    def adopt(self, params: Params, extra: Any) -> Any: ...


@runtime_checkable
class Reconstructing(Protocol):
    """An objective that can draw what it makes of clips."""

    def reconstruct(self, params: Params, batch: Batch, rngs: Rngs) -> dict[str, Float[Array, "b t h w c"]]: ...


def mean_over_valid(values: Float[Array, " b"], valid: Bool[Array, " b"]) -> Float[Array, ""]:
    """Mean over the rows that are not padding; 0 when all are."""
    valid = valid.astype(jnp.float32)
    return jnp.sum(jnp.where(valid > 0, values, 0.0)) / jnp.maximum(valid.sum(), 1.0)
