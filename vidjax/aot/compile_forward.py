"""Compile a trained model for TPU chips that are not attached, to score videos or to extract features.

This needs only the TPU compiler (extra `aot`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vidjax.aot.compile_step import mesh_for, num_outputs
from vidjax.aot.compiled import Compiled, Target, compile_or_need
from vidjax.config import Config, get_key, left_open
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.errors import ConfigError
from vidjax.evaluation.features.extraction import VIDEOS_A_DEVICE, clip_features
from vidjax.evaluation.multiview import Scoring, eval_batch_size, make_eval_step
from vidjax.models import ClipSpec, family_of
from vidjax.objectives import Objective
from vidjax.ops.mesh_axes import ROWS
from vidjax.tasks import build_objective
from vidjax.training.choices.platform import choose_by_platform
from vidjax.training.config_checks import check_config
from vidjax.training.mesh import param_shardings
from vidjax.weights import Pretrained


def compile_evaluation(config: Config, topology: str, *, dump: Path | None = None) -> Compiled:
    """Compile the scoring of a batch of videos with all their views, as in `mode=evaluate`.

    Args:
      config, topology, dump: as in `vidjax.aot.compile_step.compile_step`.

    Raises:
      ConfigError: if the task does not score clips, the configuration does not fit the topology, or the compiler is not
        installed.
    """
    closed, target = _target(config, topology, dump)
    objective = build_objective(closed, num_outputs(closed))
    if not isinstance(objective, Scoring):
        raise ConfigError(f"config.task={config.task!r} does not score clips; compile --what=step or embed")
    recipe, rows = ClipRecipe.of(closed.data, closed.eval), eval_batch_size(closed, target.mesh)
    video = jax.ShapeDtypeStruct((rows, recipe.views, *_clip_shape(recipe)), jnp.uint8)
    batch = {"video": video, **{name: jax.ShapeDtypeStruct((rows,), dtype) for name, dtype in _PER_VIDEO.items()}}
    step = make_eval_step(objective, recipe.merge, target.mesh)
    spec, classes = objective.module.spec, objective.module.num_classes
    return target.describe(
        compile_or_need(_lower(step, objective, batch, closed, target.mesh)),
        clips=rows * recipe.views,
        flops=2.0 * spec.classifier_macs(classes),
        chosen=_chosen(config, closed),
    )


def compile_embedding(config: Config, topology: str, *, dump: Path | None = None) -> Compiled:
    """Compile the features of a batch of videos, one clip each, as `vidjax embed` computes them.

    Args:
      config, topology, dump: as in `vidjax.aot.compile_step.compile_step`.

    Raises:
      ConfigError: if the model is not just an encoder of clips, the configuration does not fit the topology, or the
        compiler is not installed.
    """
    closed, target = _target(config, topology, dump)
    objective = build_objective(closed, num_outputs(closed))
    spec = getattr(objective.module, "spec", None)
    if not isinstance(spec, ClipSpec):
        raise ConfigError(f"config.task={config.task!r} trains more than an encoder of clips; compile --what=step")
    recipe = ClipRecipe.of(closed.data, closed.eval).one_view()
    model = Pretrained(objective.module, {}, spec, family_of(closed.model.name)[0], recipe)
    rows = VIDEOS_A_DEVICE * target.mesh.size

    def step(params, clips):
        found = clip_features(model, params, clips)
        return {name: array.astype(jnp.float16) for name, array in found.items() if name != "tokens"}

    clips = jax.ShapeDtypeStruct((rows, *_clip_shape(recipe)), jnp.uint8)
    return target.describe(
        compile_or_need(_lower(jax.jit(step), objective, clips, closed, target.mesh)),
        clips=rows,
        flops=2.0 * spec.classifier_macs(0),
        chosen=_chosen(config, closed),
    )


_PER_VIDEO = {
    "label": jnp.int32, "valid": jnp.bool_, "decoded": jnp.bool_, "index": jnp.int32, "failed_reason": jnp.int8,
}  # fmt: skip


def _target(config: Config, topology: str, dump: Path | None) -> tuple[Config, Target]:
    """Return the configuration with the choices for a TPU, and the target to compile for."""
    check_config(config)
    return choose_by_platform(config, "tpu"), Target(topology, mesh_for(config, topology), dump)


def _clip_shape(recipe: ClipRecipe) -> tuple[int, ...]:
    return recipe.num_frames, *recipe.frame_size, 3


def _lower(
    step: jax.stages.Wrapped, objective: Objective, batch: Any, config: Config, mesh: Mesh
) -> jax.stages.Lowered:
    """Lower a function of parameters and a batch whose rows are sharded over the mesh."""
    shapes = jax.eval_shape(lambda: objective.init(jax.random.key(0), {})[0])
    places, rows = param_shardings(shapes, mesh, config.mesh.fsdp_min_size), NamedSharding(mesh, PartitionSpec(ROWS))
    params = jax.tree.map(lambda leaf, at: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=at), shapes, places)
    batch = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=rows), batch)
    with jax.set_mesh(mesh):
        return step.trace(params, batch).lower(lowering_platforms=("tpu",))


def _chosen(config: Config, closed: Config) -> dict[str, Any]:
    """Return the open keys on which a forward pass depends, with the values that a run would choose."""
    mattering = {"model.dtype", "model.unroll"}
    return {key: get_key(closed, key) for key in left_open(config) if key in mattering}
