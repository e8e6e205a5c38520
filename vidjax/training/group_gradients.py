"""Gradients of small groups of rows, each clipped separately, then averaged.

Scenic trains ViViT this way: the gradient of every device is clipped to norm 1 before the mean over devices
(vivit/train_utils.py:158). Here a group of rows takes the place of one of Scenic's devices, so the result does not
depend on the number of devices. A device processes its groups in turn; it holds one group's activations, the group's
gradient and the sum of the gradients so far.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array

from vidjax.config import Config
from vidjax.errors import ConfigError
from vidjax.models.param_paths import split
from vidjax.objectives.base import Objective, StatisticalObjective
from vidjax.ops.mesh_axes import AXES, ROWS, TENSOR, row_blocks
from vidjax.training.optim import GroupClip
from vidjax.training.optim.freezing import form
from vidjax.training.random_streams import streams
from vidjax.training.state import TrainState


def check_group_gradients(config: Config, objective: Objective, extra: object, mesh: Mesh) -> None:
    """Refuse `optim.clip_group` without a norm, or with micro-batches, incomplete groups or losses across groups.

    Raises:
      ConfigError: naming the keys, their values and the remedy.
    """
    group, data = config.optim.clip_group, config.data
    if not group:
        return
    if not config.optim.clip_norm:
        raise ConfigError(
            f"optim.clip_group={group} clips to optim.clip_norm, which is 0; set optim.clip_norm, or optim.clip_group=0"
        )
    if isinstance(objective, StatisticalObjective) or jax.tree.leaves(extra):
        raise ConfigError(
            f"optim.clip_group={group} does not work with task={config.task}, whose loss depends on the whole batch "
            "or which updates or keeps arrays besides the parameters; set optim.clip_group=0"
        )
    if config.train.accumulate > 1:
        raise ConfigError(
            f"optim.clip_group={group} processes one group after another, which saves the memory that "
            f"train.accumulate={config.train.accumulate} would save; set train.accumulate=1"
        )
    mixes = data.mixup > 0 or data.cutmix > 0
    if mixes and not objective.group:
        raise ConfigError(
            f"data.mix_group=0 mixes clips of the whole batch, across the groups of optim.clip_group={group}; set "
            f"data.mix_group={group}"
        )
    if mixes and group % objective.group:
        raise ConfigError(
            f"optim.clip_group={group} must be a multiple of data.mix_group={data.mix_group}, within which clips are "
            f"mixed; set data.mix_group={group}"
        )
    blocks = row_blocks(mesh)
    own = data.global_batch * data.clips_per_decode // blocks
    if own % group:
        raise ConfigError(
            f"each of the mesh's {blocks} blocks of rows (data x fsdp) has {own} clips of a batch, which do not divide "
            f"into groups of optim.clip_group={group}; use another data.global_batch, fewer devices, a larger "
            "mesh.tensor, or another optim.clip_group"
        )


def group_gradients(objective: Objective, state: TrainState, batch: dict, key: Array, clip: GroupClip, mesh: Mesh):
    """Loss and metrics of the batch, and the mean of the clipped gradients of its groups.

    All groups have equal weight in the gradient, as devices do in Scenic; in the loss and the metrics, a group's weight
    is `objective.weight` of its rows.

    Args:
      key: the step's random key; dropout is drawn group by group.
      clip: rows per group, and the norm to which each group's gradient is clipped; groups are consecutive rows.
    """

    trained, held = split(state.params, objective.frozen)

    def loss_of(trained, held, rows, key):
        rngs = streams(key, rows["row"][0] // clip.rows)
        loss, (metrics, _) = objective.loss(form(objective, trained, held), state.extra, rows, rngs, True)
        return loss, metrics

    def of_device(trained, held, rows, key):
        def of_group(total, rows):
            (loss, metrics), grads = jax.value_and_grad(loss_of, has_aux=True)(trained, held, rows, key)
            factor = clip.norm / jnp.maximum(optax.tree.norm(grads), clip.norm)
            total = jax.tree.map(lambda sum_, leaf: sum_ + factor * leaf, total, grads)
            return total, (objective.weight(rows).astype(jnp.float32), (loss, metrics))

        groups = jax.tree.map(lambda leaf: leaf.reshape(-1, clip.rows, *leaf.shape[1:]), rows)
        total, (weights, numbers) = jax.lax.scan(of_group, jax.tree.map(jnp.zeros_like, trained), groups)
        sums = jax.tree.map(lambda leaf: jnp.tensordot(weights, leaf, axes=1), numbers)
        return jax.lax.psum((total, weights.sum(), sums), ROWS)

    # Without a tensor axis all axes are manual, so kernels need no shard_map of their own. check_vma=False: kernels do
    # not declare over which axes their results vary.
    axes = set(ROWS) if mesh.shape[TENSOR] > 1 else set(AXES)
    specs = {"in_specs": (P(), P(), P(ROWS), P()), "out_specs": P(), "axis_names": axes}
    on_devices = jax.shard_map(of_device, mesh=mesh, check_vma=False, **specs)
    total, counted, sums = on_devices(trained, held, batch, key)
    loss, metrics = jax.tree.map(lambda leaf: leaf / jnp.maximum(counted, 1.0), sums)
    return loss, metrics, jax.tree.map(lambda leaf: leaf / (len(batch["row"]) // clip.rows), total)
