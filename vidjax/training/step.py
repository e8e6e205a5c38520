"""One training step: gradients over micro-batches, a guarded update, and the metrics of both.

Everything is one jitted function of (state, batch) that donates the state and compiles once per run.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array

from vidjax.models.param_paths import join, split
from vidjax.objectives.base import Objective, StatisticalObjective
from vidjax.ops.mesh_axes import ROWS
from vidjax.training.group_gradients import group_gradients
from vidjax.training.mesh import batch_sharding, mirrored_blocks, replicated
from vidjax.training.optim import Optimizer
from vidjax.training.optim.freezing import form
from vidjax.training.random_streams import streams
from vidjax.training.spikes import judge
from vidjax.training.state import TrainState

HOST_KEYS = ("failed", "failed_reason", "source", "stop")  # sent with each batch so that every process sees them


def make_train_step(
    objective: Objective,
    optimizer: Optimizer,
    *,
    seed: int,
    accumulate: int = 1,
    ema: float = 0.0,
    shapes: TrainState,
) -> jax.stages.Wrapped:
    """Build the jitted function (state, batch) -> (state, metrics), which compiles once.

    Args:
      objective: the training objective.
      optimizer: the step subtracts `schedule(step)` times its direction.
      seed: the step's random streams (mask, dropout, augment) are folded from the seed and the step.
      accumulate: micro-batches per step; `check_rows` checks that they divide the batch. Masks, erased boxes and
        mixed pairs do not depend on the number of micro-batches; dropout and drop path do.
      ema: decay of the moving average of parameters; 0 keeps none.
      shapes: shapes of the state, each leaf with its sharding.

    Returns:
      The jitted function. Its metrics are scalars, plus `failed` and `failed_reason` (rows, 8) of the global batch,
      `source` (rows) with data.mixture, and `stop`, whether any process was asked to stop.
    """
    tx, schedule, clip = optax.with_extra_args_support(optimizer.tx), optimizer.schedule, optimizer.group_clip
    shardings = jax.tree.map(lambda leaf: leaf.sharding, shapes)
    mesh = shardings.step.mesh

    def step(state: TrainState, batch: dict) -> tuple[TrainState, dict]:
        host = {key: batch.pop(key) for key in HOST_KEYS if key in batch}
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        batch["row"] = jnp.arange(len(batch["valid"]), dtype=jnp.int32)
        if clip.rows:
            extra, (loss, metrics, grads) = state.extra, group_gradients(objective, state, batch, key, clip, mesh)
        else:
            loss, metrics, extra, grads = _gradients(objective, state, batch, key, accumulate, mesh)
        trained, held = split(state.params, objective.frozen)
        lr, grad_norm = schedule(state.step), optax.tree.norm(grads)
        finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
        sound, recent, judged = finite, state.recent, {}
        if recent:
            sound, recent, judged = judge(recent, loss, grad_norm, optimizer.skip_spikes)
        direction, opt_state = tx.update(grads, state.opt_state, trained, step=state.step)
        moved = optax.apply_updates(trained, jax.tree.map(lambda u: -lr * u, direction))
        params = join(moved, held)
        # Held parameters never change, so their average stays exactly equal to them.
        average, still = split(state.ema, objective.frozen)
        average = join(jax.tree.map(lambda a, p: ema * a + (1.0 - ema) * p, average, moved), still) if ema else {}
        extra = objective.after_update(params, extra, state.step)
        tried = TrainState(state.step + 1, params, opt_state, average, extra, state.recent)
        kept = jax.tree.map(lambda new, old: jnp.where(sound, new, old), tried, state)
        change = jax.tree.map(jnp.subtract, split(kept.params, objective.frozen)[0], trained)  # as applied
        numbers = {
            "train/loss": loss,
            "train/lr": lr,
            "train/grad_norm": grad_norm,
            "train/update_norm": optax.tree.norm(change),
            "train/nonfinite": ~finite,
            **judged,
            **{name if "/" in name else f"train/{name}": value for name, value in metrics.items() if name != "loss"},
        }
        if "stop" in host:
            host["stop"] = jnp.any(host["stop"])
        return kept._replace(step=tried.step, recent=recent), numbers | host

    rows, everywhere = batch_sharding(mesh), replicated(mesh)
    return jax.jit(step, in_shardings=(shardings, rows), out_shardings=(shardings, everywhere), donate_argnums=0)


def _gradients(objective: Objective, state: TrainState, batch: dict, key: Array, accumulate: int, mesh: Mesh):
    """Loss, metrics, extra state and gradients of the whole batch.

    Each micro-batch updates the extra state in turn, except with a `StatisticalObjective`, which leaves it unchanged.
    """
    trained, held = split(state.params, objective.frozen)

    def loss_of(trained, extra, rows, rngs):
        loss, (metrics, extra) = objective.loss(form(objective, trained, held), extra, rows, rngs, True)
        return loss, (metrics, extra)

    value_and_grad = jax.value_and_grad(loss_of, has_aux=True)
    if accumulate == 1:
        (loss, (metrics, extra)), grads = value_and_grad(trained, state.extra, batch, streams(key))
        return loss, metrics, extra, grads

    def micro_step(carry, numbered_rows):
        total, extra = carry
        number, rows = numbered_rows
        (loss, (metrics, extra)), grads = value_and_grad(trained, extra, rows, streams(key, number))
        weight = objective.weight(rows).astype(jnp.float32)
        total = jax.tree.map(lambda sum_, leaf: sum_ + weight * leaf, total, grads)
        return (total, extra), (weight, loss, metrics)

    zeros = jax.tree.map(jnp.zeros_like, trained)
    numbered = (
        jnp.arange(accumulate),
        jax.tree.map(lambda leaf: _split(leaf, accumulate, objective.group, mesh), batch),
    )
    if isinstance(objective, StatisticalObjective):
        return _gradients_from_statistics(objective, state, key, zeros, numbered)
    (total, extra), (weights, losses, metrics) = jax.lax.scan(micro_step, (zeros, state.extra), numbered)
    counted = jnp.maximum(weights.sum(), 1.0)

    def mean(leaf):
        return jnp.tensordot(weights, leaf, axes=1) / counted

    grads = jax.tree.map(lambda leaf: leaf / counted, total)
    return mean(losses), jax.tree.map(mean, metrics), extra, grads


def _split(leaf: Array, accumulate: int, group: int, mesh: Mesh) -> Array:
    """Split rows (b ..) into micro-batches (a b/a ..): rows stay on their device, and mixed rows stay together.

    With groups, the g-th group of rows of each device goes to micro-batch g % a.

    Without groups, the batch is cut into an even number of equal blocks (`mirrored_blocks`). In the first half of the
    blocks, row r of a block goes to micro-batch r % a, and its mirror image in the second half goes to the same one, so
    rows i and b - 1 - i stay together. Mixing therefore pairs the same rows as without micro-batches. If the blocks
    cannot be cut this way, nothing is mixed in pairs, and row i goes to micro-batch i % a.
    """
    blocks = mirrored_blocks(mesh)
    if group:
        parts = leaf.reshape(-1, accumulate, group, *leaf.shape[1:])
        parts = jnp.moveaxis(parts, 1, 0).reshape(accumulate, -1, *leaf.shape[1:])
        return jax.lax.with_sharding_constraint(parts, NamedSharding(mesh, P(None, ROWS)))
    if len(leaf) % (blocks * accumulate):  # nothing is mixed in pairs; see `check_rows`
        parts = leaf.reshape(-1, accumulate, *leaf.shape[1:])
    else:
        parts = leaf.reshape(blocks, -1, accumulate, *leaf.shape[1:])
        second = jnp.arange(blocks).reshape(-1, *[1] * (parts.ndim - 1)) >= blocks // 2
        parts = jnp.where(second, parts[:, :, ::-1], parts).reshape(-1, accumulate, *leaf.shape[1:])
    return jax.lax.with_sharding_constraint(jnp.moveaxis(parts, 1, 0), NamedSharding(mesh, P(None, ROWS)))


def _gradients_from_statistics(objective: StatisticalObjective, state: TrainState, key: Array, zeros, numbered):
    """Gradients of a loss that is a function of the whole batch's statistics, in two passes over the micro-batches.

    The first pass gathers the statistics of each micro-batch; the second backpropagates the loss through each. Both
    draw the same random numbers and need the memory of one micro-batch.
    """

    trained, held = split(state.params, objective.frozen)

    def statistics(trained, number, rows):
        return objective.statistics(form(objective, trained, held), rows, streams(key, number), True)

    _, parts = jax.lax.scan(lambda carry, part: (carry, statistics(trained, *part)), None, numbered)
    (loss, metrics), back = jax.value_and_grad(objective.loss_from, has_aux=True)(parts)

    def micro_step(total, part):
        of_part, (number, rows) = part
        grads = jax.vjp(lambda trained: statistics(trained, number, rows), trained)[1](of_part)[0]
        return jax.tree.map(jnp.add, total, grads), None

    grads, _ = jax.lax.scan(micro_step, zeros, (back, numbered))
    return loss, metrics, state.extra, grads
