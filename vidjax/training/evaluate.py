"""Scoring a classifier: now and then while it trains, and by itself with `mode=evaluate`."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import jax
from jax.sharding import Mesh

from vidjax.config import Config
from vidjax.data.sources import open_source
from vidjax.errors import ConfigError
from vidjax.evaluation.multiview import eval_batch_size, evaluate_classifier, make_eval_step, score_classifier
from vidjax.objectives import build_objective
from vidjax.training import finish
from vidjax.training.mesh import loader_slice, make_mesh, param_shardings
from vidjax.weights.runs import read_params


class Evaluator:
    """The evaluation split of a run, scored by the multi-view protocol or, quicker, by one view; compiled once each."""

    def __init__(self, config: Config, objective, mesh: Mesh, workdir: Path):
        eval_batch_size(config, mesh)  # refuses a batch that does not fit before any training is done
        self._config, self._objective, self._mesh, self._workdir = config, objective, mesh, workdir
        self._source = open_source(config.data, config.data.eval_split)
        self._options = {"process": loader_slice(mesh), "step": make_eval_step(objective, config.eval.merge, mesh)}

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Names of the classes, where the data has them."""
        return self._source.labels

    def __call__(self, params, *, progress: bool = True) -> dict:
        """Score every video by `config.eval`; returns the flat results, which are in results.json too."""
        return evaluate_classifier(
            self._objective, params, self._source, self._config, self._mesh, self._workdir,
            progress=progress, **self._options,
        )  # fmt: skip

    def validate(self, params) -> dict:
        """Score the central view of every video; returns val/top1 and val/top5 and writes nothing."""
        config = dataclasses.replace(self._config, eval=dataclasses.replace(self._config.eval, clips=1, crops=1))
        results, _ = score_classifier(
            self._objective, params, self._source, config, self._mesh, progress=False, **self._options
        )
        return {f"val/{name}": results[f"eval/{name}"] for name in ("top1", "top5")}


def evaluate(config: Config, workdir: str | os.PathLike) -> dict:
    """Score the best checkpoint in `workdir`, or the run named by `config.init_from`, on the evaluation split.

    The moving average is scored when the run keeps one. Results go to `workdir`.

    Raises:
      ConfigError: when the task has no labels to score, or the checkpoint is of another model.
      ResumeError: when there is no checkpoint.
    """
    if config.task != "classification":
        raise ConfigError(f"config.mode=evaluate scores classifiers; config.task is {config.task!r}")
    workdir, mesh = Path(workdir), make_mesh(config.mesh)
    classes = config.data.num_classes or open_source(config.data, config.data.eval_split).num_classes
    objective = build_objective(config, classes)
    run = config.init_from or workdir
    _, found = read_params(run, "best", ema=True)
    shapes = jax.eval_shape(lambda: objective.init(jax.random.key(0), {})[0])
    _check_same(shapes, found, run)
    params = jax.device_put(found, param_shardings(shapes, mesh, config.mesh.fsdp_min_size))
    workdir.mkdir(parents=True, exist_ok=True)
    evaluator = Evaluator(config, objective, mesh, workdir)
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
