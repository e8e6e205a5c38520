"""The training step of a run, before compilation, and the shapes of its inputs."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from vidjax.config import Config, DataConfig
from vidjax.objectives import Objective
from vidjax.training.group_gradients import check_group_gradients
from vidjax.training.mesh import batch_sharding, check_groups, check_rows
from vidjax.training.optim import Optimizer, RunLength, build_optimizer
from vidjax.training.state import TrainState, annotation_shapes, batch_shapes, state_shapes
from vidjax.training.step import make_train_step


@dataclasses.dataclass(frozen=True)
class RunStep:
    """A training step and its parts.

    Attributes:
      objective: the training objective.
      optimizer: the rule by which parameters are updated.
      shapes: shapes of the state, with shardings.
      call: the function of (state, batch), compiled on its first call.
    """

    objective: Objective
    optimizer: Optimizer
    shapes: TrainState
    call: jax.stages.Wrapped


def build_step(config: Config, objective: Objective, length: RunLength, mesh: Mesh) -> RunStep:
    """Build the step of a configuration; call this within the mesh.

    Raises:
      ConfigError: when the mesh, the micro-batches or the groups do not divide the batch, or `optim` is invalid.
    """
    data, accumulate = config.data, config.train.accumulate
    check_rows(mesh, data.global_batch, data.clips_per_decode, accumulate, pairs=mixes_pairs(data, objective))
    check_groups(mesh, data.global_batch * data.clips_per_decode, objective.group, accumulate)
    optimizer = build_optimizer(
        config.optim,
        length,
        global_batch=data.global_batch,
        frozen=objective.frozen,
        unused_blocks=objective.unused_blocks,
        heads=objective.heads,
    )
    shapes = state_shapes(config, objective, optimizer.tx, mesh)
    check_group_gradients(config, objective, shapes.extra, mesh)
    call = make_train_step(
        objective, optimizer, seed=config.seed, accumulate=accumulate, ema=config.optim.ema, shapes=shapes
    )
    return RunStep(objective, optimizer, shapes, call)


def mixes_pairs(data: DataConfig, objective: Objective) -> bool:
    """Whether mixup or cutmix pairs rows of the whole batch, rather than rows of groups."""
    return (data.mixup > 0 or data.cutmix > 0) and not objective.group


def loaded_shapes(config: Config, num_outputs: int, mesh: Mesh) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and shardings of a global batch as `device_feed.Feed` hands it to the step.

    Args:
      num_outputs: number of classes, or of values that a regression predicts.
    """
    from vidjax.data.clips.row_to_clips import SUBSTITUTES  # imports the data libraries, which a step does not need

    leaves = batch_shapes(config.data)
    rows = leaves["valid"].shape[0]
    leaves |= annotation_shapes(config, rows, num_outputs)
    leaves |= {
        "failed": jax.ShapeDtypeStruct((rows, SUBSTITUTES), jnp.int32),
        "failed_reason": jax.ShapeDtypeStruct((rows, SUBSTITUTES), jnp.int8),
        "stop": jax.ShapeDtypeStruct((rows,), jnp.bool_),
    }
    if config.data.mixture:
        leaves["source"] = jax.ShapeDtypeStruct((rows,), jnp.int32)
    sharding = batch_sharding(mesh)
    return {name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding) for name, leaf in leaves.items()}
