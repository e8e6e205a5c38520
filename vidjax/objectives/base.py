"""`Objective`: the interface between the training loop and its losses."""

import abc
import dataclasses
from typing import TYPE_CHECKING, Any, Self, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from vidjax.models.gpt2 import GPT2Spec
from vidjax.models.spec import ClipSpec

Batch = dict[str, Array]
Metrics = dict[str, Array]
Params = Any  # a pytree of arrays
FIXED = "fixed"  # the entry of `extra` for what never changes, such as a teacher; checkpoints leave it out
Rngs = dict[str, Array]  # keys of the streams "mask", "augment" and "dropout"


@dataclasses.dataclass(frozen=True)
class Part:
    """Parameters that can be initialised from a separate checkpoint.

    Attributes:
      name: name of their subtree; empty for all parameters.
      spec: spec of the module that uses them; None if it has none.
      key: configuration key that names the checkpoint.
    """

    name: str
    spec: ClipSpec | GPT2Spec | None
    key: str = "init_from"


class Objective(abc.ABC):
    """A training objective; every objective is a frozen dataclass.

    Attributes:
      module: the Linen module to train; a model with a `spec`, unless `parts` says otherwise.
      train_flops_per_clip: FLOPs of the forward and backward pass, 2 x MACs.
      frozen: pattern of the paths of parameters that are not trained; empty for none. See `training.optim.freezing`.
      unused_blocks: number of the encoder's last blocks that the loss does not reach; nothing changes them, not even
        weight decay.
      group: number of consecutive rows of a batch that must stay together in a micro-batch, in their order; 0 if only a
        row and its mirror image in the batch must.
    """

    frozen = ""
    unused_blocks = 0
    group = 0

    if TYPE_CHECKING:  # a field of each objective; at run time this property would be its default

        @property
        def module(self) -> nn.Module: ...

    @property
    def fixed_parts(self) -> tuple[Part, ...]:
        """Parts of `extra[FIXED]` to read from a checkpoint whenever a run starts or resumes; none by default."""
        return ()

    @property
    @abc.abstractmethod
    def train_flops_per_clip(self) -> float: ...

    @abc.abstractmethod
    def init(self, rng: Array, batch: Batch) -> tuple[Params, Any]:
        """Initialise the parameters and the objective's own state (`extra`); only the shapes in `batch` are used."""

    @abc.abstractmethod
    def loss(
        self, params: Params, extra: Any, batch: Batch, rngs: Rngs, train: bool
    ) -> tuple[Array, tuple[Metrics, Any]]:
        """The mean loss over what `weight` counts, scalar metrics (likewise means), and the next `extra`."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Parts of the parameters that can be initialised from a checkpoint; all of them as one by default."""
        return (Part("", self.module.spec),)

    def with_module(self, module: nn.Module) -> Self:
        """The same objective with another module."""
        return dataclasses.replace(cast(Any, self), module=module)

    def init_extra(self, params: Params, extra: Any) -> Any:
        """The objective's own state at the start of training, once parameters are initialised from a checkpoint."""
        del params
        return extra

    def weight(self, batch: Batch) -> Array:
        """The weight of a micro-batch in the mean over a batch: its number of valid rows."""
        return batch["valid"].sum()

    def after_update(self, params: Params, extra: Any, step: Array) -> Any:
        """The next `extra`, after the optimiser has updated the parameters; unchanged by default."""
        del params, step
        return extra


class StatisticalObjective(Objective):
    """An objective whose loss is a function of statistics of the whole batch.

    Under `jit` their sums run over all devices. The training step gathers them from micro-batches before it computes
    the loss, and then propagates its gradient back through each micro-batch.
    """

    @abc.abstractmethod
    def statistics(self, params: Params, batch: Batch, rngs: Rngs, train: bool) -> dict[str, Array]:
        """The statistics of a (micro-)batch."""

    @abc.abstractmethod
    def loss_from(self, parts: dict[str, Array]) -> tuple[Array, Metrics]:
        """The loss and metrics of a batch from the statistics of its micro-batches, stacked on axis 0."""

    def loss(
        self, params: Params, extra: Any, batch: Batch, rngs: Rngs, train: bool
    ) -> tuple[Array, tuple[Metrics, Any]]:
        """The loss of a batch without micro-batches."""
        statistics = self.statistics(params, batch, rngs, train)
        loss, metrics = self.loss_from({name: statistic[None] for name, statistic in statistics.items()})
        return loss, (metrics, extra)


def row_keys(rng: Array, batch: Batch) -> Key[Array, " b"]:
    """A key for each row, from its place in the step's batch (`row`), whichever micro-batch it is in."""
    return fold_in_each(rng, row_places(batch))


def group_keys(rng: Array, batch: Batch, size: int) -> Key[Array, " g"]:
    """A key for each group of `size` rows, from its place in the step's batch; with size 0, one key for all rows."""
    if not size:
        return fold_in_each(rng, jnp.zeros(1, jnp.int32))
    return fold_in_each(rng, row_places(batch)[::size] // size)


def row_places(batch: Batch) -> Int[Array, " b"]:
    """The place of each row in the step's batch."""
    return batch["row"] if "row" in batch else jnp.arange(len(batch["video"]), dtype=jnp.int32)


def fold_in_each(rng: Array, numbers: Int[Array, " n"]) -> Key[Array, " n"]:
    """A key for each number."""
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(rng, numbers)


def mean_over_valid(values: Float[Array, " b"], valid: Bool[Array, " b"]) -> Float[Array, ""]:
    """Mean over the rows that are not padding; 0 if all are."""
    valid = valid.astype(jnp.float32)
    return jnp.sum(jnp.where(valid > 0, values, 0.0)) / jnp.maximum(valid.sum(), 1.0)
