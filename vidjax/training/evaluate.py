"""Scoring a run: now and then while it trains, and by itself with `mode=evaluate`."""

from __future__ import annotations

import os
from pathlib import Path

import jax
from jax.sharding import Mesh

from vidjax.config import Config
from vidjax.errors import ConfigError
from vidjax.evaluation.tasks import EVALUATORS, Evaluator, open_eval
from vidjax.tasks import build_objective
from vidjax.training import finish
from vidjax.training.mesh import loader_slice, make_mesh, param_shardings
from vidjax.weights.runs import read_params


def build_evaluator(config: Config, objective, mesh: Mesh, workdir: Path) -> Evaluator | None:
    """What scores the evaluation split of a run; None for a task that has nothing to be scored by."""
    if config.task not in EVALUATORS:
        return None
    return EVALUATORS[config.task](config, objective, mesh, workdir, loader_slice(mesh))


def evaluate(config: Config, workdir: str | os.PathLike) -> dict:
    """Score the best checkpoint in `workdir`, or the run named by `config.init_from`, on the evaluation split.

    The moving average is scored when the run keeps one. Results go to `workdir`.

    Raises:
      ConfigError: when the task has no labels to score, or the checkpoint is of another model.
      ResumeError: when there is no checkpoint.
    """
    if config.task not in EVALUATORS:
        raise ConfigError(f"config.mode=evaluate scores {', '.join(EVALUATORS)}; config.task is {config.task!r}")
    workdir, mesh = Path(workdir), make_mesh(config.mesh)
    classes = config.data.num_classes or open_eval(config).num_classes
    objective = build_objective(config, classes)
    run = config.init_from or workdir
    _, found = read_params(run, "best", ema=True)
    shapes = jax.eval_shape(lambda: objective.init(jax.random.key(0), {})[0])
    _check_same(shapes, found, run)
    params = jax.device_put(found, param_shardings(shapes, mesh, config.mesh.fsdp_min_size))
    workdir.mkdir(parents=True, exist_ok=True)
    evaluator = build_evaluator(config, objective, mesh, workdir)
    finish.check_labels(Path(run), evaluator.labels)
    results = evaluator(params)
    finish.report(workdir)
    return results


def _check_same(shapes, found, run) -> None:
    wanted, there = (
        {jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape for path, leaf in _leaves(tree)}
        for tree in (shapes, found)
    )
    different = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
    if different:
        name = different[0]
        raise ConfigError(
            f"{run} holds another model than config.model: {name} is {there.get(name, 'missing')} there and "
            f"{wanted.get(name, 'missing')} here; evaluate with the configuration it was trained with"
        )


def _leaves(tree):
    return jax.tree_util.tree_flatten_with_path(tree)[0]
