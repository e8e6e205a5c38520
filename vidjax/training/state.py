"""The state of a run at a step: everything that a checkpoint must hold to resume exactly."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Int

from vidjax.config import Config, DataConfig
from vidjax.models.lora import LORA, initial_terms
from vidjax.models.param_paths import join, split
from vidjax.objectives import Objective
from vidjax.training.mesh import param_shardings, replicated
from vidjax.training.spikes import no_steps, remembered

PyTree = Any


class TrainState(NamedTuple):
    """The state of a run; it holds no random key, because keys are folded from the seed and the step.

    Attributes:
      step: updates attempted so far, including those that were skipped.
      params: parameters of the module, float32, and the terms of LoRA, if the objective has any.
      opt_state: state of the optax transformation, for the trained parameters.
      ema: moving average of `params`; {} when it is off.
      extra: what an objective keeps besides the parameters (a teacher, a centre); {} if nothing.
      recent: the latest losses and gradient norms, a `Recent`; () if the configuration does not use them.
    """

    step: Int[Array, ""]
    params: PyTree
    opt_state: PyTree
    ema: PyTree
    extra: PyTree
    recent: PyTree = ()


def batch_shapes(data: DataConfig) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of a global training batch, enough to initialise an objective."""
    rows = data.global_batch * data.clips_per_decode
    videos = data.views or {"video": data.clip_shape}
    return {
        **{name: jax.ShapeDtypeStruct((rows, *shape), jnp.uint8) for name, shape in videos.items()},
        "label": jax.ShapeDtypeStruct((rows,), jnp.int32),
        "valid": jax.ShapeDtypeStruct((rows,), jnp.bool_),
        "index": jax.ShapeDtypeStruct((rows,), jnp.int32),
    }


def annotation_shapes(config: Config, rows: int, num_outputs: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Shape of the annotation that the task's batches carry, by its key: `target`, `tokens` and so on.

    The result is empty for a task that learns from videos alone.

    Args:
      num_outputs: number of classes, or of values that a regression predicts.
    """
    from vidjax.data.sources.annotations import ANNOTATIONS, NOTHING
    from vidjax.tasks import TASKS  # both import the data libraries, which a step does not need

    task = TASKS.find(config.task)
    if task.annotation == NOTHING:
        return {}
    annotation = ANNOTATIONS[task.annotation]
    shape = annotation.shape(num_outputs, task.num_tokens(config))
    return {annotation.key: jax.ShapeDtypeStruct((rows, *shape), annotation.dtype)}


def init_state(
    objective: Objective, tx: optax.GradientTransformation, data: DataConfig, ema: float, seed: int, window: int = 0
) -> TrainState:
    """Initialise a state; call this under `jax.eval_shape` for shapes, or `jax.jit` with `out_shardings` for arrays.

    Args:
      ema: decay of the moving average; 0 for none.
      window: number of steps to remember; see `spikes.remembered`.
    """
    batch = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), batch_shapes(data))
    params, extra = objective.init(jax.random.key(seed), batch)
    trained, held = split(params, objective.frozen)
    if objective.lora:
        trained = {**trained, LORA: initial_terms(held, objective.lora, jax.random.key(seed))}
    params = join(trained, held)
    average = jax.tree.map(jnp.copy, params) if ema else {}
    return TrainState(jnp.zeros((), jnp.int32), params, tx.init(trained), average, extra, no_steps(window))


def state_shapes(config: Config, objective: Objective, tx: optax.GradientTransformation, mesh: Mesh) -> TrainState:
    """Shapes of the state with the sharding of every leaf, as `ShapeDtypeStruct`s; nothing is computed."""
    init = functools.partial(init_state, objective, tx, config.data, config.optim.ema, config.seed, remembered(config))
    shapes = jax.eval_shape(init)
    places = param_shardings(shapes, mesh, config.mesh.fsdp_min_size)
    places = places._replace(recent=jax.tree.map(lambda _: replicated(mesh), shapes.recent))
    return jax.tree.map(lambda s, at: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=at), shapes, places)
