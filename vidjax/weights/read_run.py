"""Read a run's parameters and module from its folder, without the rest of its state."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from typing import TYPE_CHECKING, NamedTuple

import absl.logging
import flax.linen as nn
import jax
import numpy as np

from vidjax.config import Config, from_saved, other_schema
from vidjax.errors import ConfigError, ResumeError, WeightsError
from vidjax.files import absolute, located
from vidjax.objectives import Objective
from vidjax.objectives.base import Params
from vidjax.tasks import TASKS, build_objective
from vidjax.weights.checkpoint_scores import Which, choose_step, read_scores, why_chosen
from vidjax.weights.checksums import damaged_files
from vidjax.weights.run_files import CHECKPOINTS, CONFIG, check_saved

if TYPE_CHECKING:  # public weights are read without orbax
    import orbax.checkpoint as ocp

_HEADS = ("head", "classes")  # in a family's own classifier, and in one with another pooling or a deeper head


def read_params(workdir: str | os.PathLike, which: Which = "last", *, ema: bool = False):
    """Read the parameters of a finished or running run.

    Args:
      workdir: the run's folder.
      which: last | best (by the evaluation metric; the last if there was no evaluation).
      ema: read the moving average, or the teacher of self-distillation, if the run keeps one; otherwise, and without
        `ema`, the raw parameters.

    Returns:
      (step, tree of NumPy arrays).

    Raises:
      ResumeError: if the folder holds no checkpoint, or the chosen one is damaged.
    """
    root = absolute(workdir) / CHECKPOINTS
    check_saved(workdir)
    import orbax.checkpoint as ocp

    trees = {name: ocp.PyTreeCheckpointHandler() for name in ("params", "ema", "rest")}
    handlers = {**trees, "meta": ocp.JsonCheckpointHandler()}
    with _quiet(), contextlib.ExitStack() as stack:
        options = ocp.CheckpointManagerOptions(read_only=True)  # the run may still be training
        manager = ocp.CheckpointManager(root, options=options, item_handlers=handlers)
        stack.callback(manager.close)
        steps = manager.all_steps()
        step = choose_step(steps, read_scores(root), which)
        if damage := damaged_files(root / str(step)):
            raise ResumeError(f"checkpoint {step} of {workdir} is damaged ({damage})")
        meta = manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))["meta"]
        if complaint := other_schema(meta):
            raise ResumeError(f"checkpoint {step} of {workdir} cannot be read: {complaint}")
        held = manager.item_metadata(step)
        if not ema:
            return step, _restore(manager, step, "params", held["params"].tree)
        if (root / str(step) / "ema").exists():
            return step, _restore(manager, step, "ema", held["ema"].tree)
        if teacher := (held["rest"].tree.get("extra") or {}).get("teacher"):
            return step, _restore(manager, step, "rest", {"extra": {"teacher": teacher}})["extra"]["teacher"]
        return step, _restore(manager, step, "params", held["params"].tree)


def _restore(manager: ocp.CheckpointManager, step: int, item: str, tree) -> dict:
    """The part of an item that `tree` names, as NumPy arrays."""
    import orbax.checkpoint as ocp

    as_numpy = jax.tree.map(lambda leaf: ocp.RestoreArgs(restore_type=np.ndarray), tree)
    wanted = ocp.args.PyTreeRestore(item=tree, restore_args=as_numpy, partial_restore=True)
    return manager.restore(step, args=ocp.args.Composite(**{item: wanted}))[item]


class RunModel(NamedTuple):
    """The model of a run, computed in float32 whatever the run's dtype.

    Attributes:
      objective: the objective around `module`; None if the trained module is another, as in self-distillation.
      step: the checkpoint's step.
      chosen: a clause that starts with a comma, on why this step was chosen; may be empty.
    """

    config: Config
    objective: Objective | None
    module: nn.Module
    params: Params
    step: int
    chosen: str


def read_model(workdir: str | os.PathLike) -> RunModel:
    """Read the checkpoint that a run's eval.checkpoint selects, with its module; its moving average if there is one.

    For self-distillation this is the teacher's encoder, as a classifier without a head.

    Raises:
      WeightsError: if the folder has no usable config.json or checkpoint.
    """
    try:
        check_saved(workdir)
        which = read_config(workdir).eval.checkpoint
        step, params = read_params(workdir, which, ema=True)
    except ResumeError as error:
        raise WeightsError(str(error)) from error
    num_classes = next((len(params[name]["bias"]) for name in _HEADS if "bias" in params.get(name, {})), 0)
    config, objective = read_objective(workdir, num_classes)
    module, params = TASKS.find(config.task).for_inference(config, objective.module, params)
    chosen = why_chosen(workdir, step, which)
    return RunModel(config, objective if module is objective.module else None, module, params, step, chosen)


def read_module(workdir: str | os.PathLike) -> tuple[Config, nn.Module]:
    """Read a run's configuration and its module without a head; see `read_objective`."""
    config, objective = read_objective(workdir)
    return config, objective.module


def read_objective(workdir: str | os.PathLike, num_classes: int = 0) -> tuple[Config, Objective]:
    """Read a run's configuration, and build its objective with a module that computes in float32.

    Raises:
      WeightsError: if the folder has no usable config.json.
    """
    config = read_config(workdir)
    model = dataclasses.replace(config.model, dtype="float32", remat="none")
    with _readable(workdir):
        return config, build_objective(dataclasses.replace(config, model=model), num_classes)


def read_config(workdir: str | os.PathLike) -> Config:
    """Read a run's configuration.

    Raises:
      WeightsError: if the folder has no usable config.json.
    """
    path = located(workdir) / CONFIG
    if not path.is_file():
        raise WeightsError(f"{workdir} has checkpoints but no config.json, which a vidjax run writes beside them")
    with _readable(workdir):
        return from_saved(json.loads(path.read_text()))


@contextlib.contextmanager
def _readable(workdir: str | os.PathLike):
    """Turn errors of a configuration into a message about its file."""
    try:
        yield
    except (ValueError, TypeError, ConfigError) as error:
        path = located(workdir) / CONFIG
        raise WeightsError(f"{path} cannot be read by this version of vidjax: {error}") from error


@contextlib.contextmanager
def _quiet():
    """Silence orbax's warnings that a folder is read-only and that items were not read."""
    before = absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.ERROR)
    try:
        yield
    finally:
        absl.logging.set_verbosity(before)
