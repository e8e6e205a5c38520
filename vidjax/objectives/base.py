"""`Objective`: the interface between the training loop and its losses."""

import abc
import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from vidjax.config import LoraConfig
from vidjax.models.gpt2 import GPT2Spec
from vidjax.models.spec import ClipSpec
from vidjax.models.text_tower import TextTowerSpec

Batch = dict[str, Array]
Metrics = dict[str, Array]
Params = Any  # a pytree of arrays
FIXED = "fixed"  # the entry of `extra` for state that never changes, such as a teacher; checkpoints leave it out
Rngs = dict[str, Array]  # keys of the streams "mask", "augment" and "dropout"


@dataclasses.dataclass(frozen=True)
class Part:
    """Parameters that can be initialised from a separate checkpoint.

    Attributes:
      name: name of their subtree; empty for all parameters.
      spec: spec of the module that uses them; None if it has none.
      key: configuration key that names the checkpoint.
      whole: whether the checkpoint must hold every parameter, a head included, as for a teacher.
      trained: for a run with a teacher, whether to read the trained parameters instead of the teacher's.
    """

    name: str
    spec: ClipSpec | TextTowerSpec | GPT2Spec | None
    key: str = "init_from"
    whole: bool = False
    trained: bool = False


class HeadSettings(NamedTuple):
    """The training settings of one of several heads that are trained side by side."""

    learning_rate: float
    weight_decay: float


class Objective(abc.ABC):
    """A training objective; every objective is a frozen dataclass.

    Attributes:
      module: the Linen module to train; a model with a `spec`, unless `parts` says otherwise.
      train_flops_per_clip: FLOPs of the forward and backward pass, 2 per multiply-accumulate.
      frozen: pattern of the paths of parameters that are not trained; empty for none. See `training.optim.freezing`.
      unused_blocks: number of the encoder's last blocks on which the loss does not depend; training leaves them
        unchanged, and weight decay does not apply to them.
      lora: how projections that `frozen` matches are adapted, see `vidjax.models.lora`; None if they are not. The step
        passes merged parameters to the loss.
      freezable: whether the module has a backbone that the field `freeze_backbone` freezes and the field `lora` adapts.
      group: number of consecutive rows of a batch that must stay together in a micro-batch, in their order; 0 if only
        each row and its mirror image in the batch must stay together.
    """

    frozen = ""
    unused_blocks = 0
    freezable = False
    group = 0

    if TYPE_CHECKING:  # a field of each objective; at run time, this property would become the field's default

        @property
        def module(self) -> nn.Module: ...

    @property
    def lora(self) -> LoraConfig | None:
        """The configuration of LoRA; by default None, which adapts nothing."""
        return None

    @property
    def heads(self) -> tuple[HeadSettings, ...]:
        """Settings of the heads, which are stacked on axis 0 of every trained parameter; none by default."""
        return ()

    @property
    def fixed_parts(self) -> tuple[Part, ...]:
        """Parts of `extra[FIXED]` to read from a checkpoint whenever a run starts or resumes; none by default."""
        return ()

    @property
    def extra_parts(self) -> tuple[Part, ...]:
        """Parts of `extra` to read, after `init_extra`, from checkpoints that initialise a run; none by default."""
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
        """Return the loss, scalar metrics and the next `extra`; means over micro-batches are weighted by `weight`."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Parts of the parameters that can be initialised from a checkpoint; all of them as one by default."""
        return (Part("", self.module.spec),)

    def with_module(self, module: nn.Module) -> Self:
        """Return the same objective with another module."""
        return dataclasses.replace(cast(Any, self), module=module)

    def init_extra(self, params: Params, extra: Any) -> Any:
        """Return the objective's own state at the start of training, after checkpoints have initialised `params`."""
        del params
        return extra

    def weight(self, batch: Batch) -> Array:
        """Return the weight of a micro-batch in the mean over a batch: its number of valid rows."""
        return batch["valid"].sum()

    def after_update(self, params: Params, extra: Any, step: Array) -> Any:
        """Return the next `extra`, after the optimiser has updated the parameters; unchanged by default."""
        del params, step
        return extra


class StatisticalObjective(Objective):
    """An objective whose loss is a function of statistics of the whole batch.

    Under `jit`, statistics are summed over all devices. The training step first gathers the statistics of all
    micro-batches and computes the loss. It then propagates the gradient of the loss back through each micro-batch.
    """

    @abc.abstractmethod
    def statistics(self, params: Params, batch: Batch, rngs: Rngs, train: bool) -> dict[str, Array]:
        """Compute the statistics of a (micro-)batch."""

    @abc.abstractmethod
    def loss_from(self, parts: dict[str, Array]) -> tuple[Array, Metrics]:
        """Compute the loss and metrics of a batch from the statistics of its micro-batches, stacked on axis 0."""

    def loss(
        self, params: Params, extra: Any, batch: Batch, rngs: Rngs, train: bool
    ) -> tuple[Array, tuple[Metrics, Any]]:
        """Compute the loss of a batch without micro-batches."""
        statistics = self.statistics(params, batch, rngs, train)
        loss, metrics = self.loss_from({name: statistic[None] for name, statistic in statistics.items()})
        return loss, (metrics, extra)


def row_keys(rng: Array, batch: Batch) -> Key[Array, " b"]:
    """Return a key for each row, which depends on the row's place in the step's batch but not on its micro-batch."""
    return fold_in_each(rng, row_places(batch))


def group_keys(rng: Array, batch: Batch, size: int) -> Key[Array, " g"]:
    """Return a key for each group of `size` rows, by its place in the step's batch; size 0 is one group of all rows."""
    if not size:
        return fold_in_each(rng, jnp.zeros(1, jnp.int32))
    return fold_in_each(rng, row_places(batch)[::size] // size)


def row_places(batch: Batch) -> Int[Array, " b"]:
    """Return the place of each row in the step's batch."""
    return batch["row"] if "row" in batch else jnp.arange(len(batch["video"]), dtype=jnp.int32)


def fold_in_each(rng: Array, numbers: Int[Array, " n"]) -> Key[Array, " n"]:
    """Return a key for each number."""
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(rng, numbers)


def mean_over_valid(values: Float[Array, " b"], valid: Bool[Array, " b"]) -> Float[Array, ""]:
    """Return the mean over the rows that are not padding; 0 if all rows are padding."""
    valid = valid.astype(jnp.float32)
    return jnp.sum(jnp.where(valid > 0, values, 0.0)) / jnp.maximum(valid.sum(), 1.0)
