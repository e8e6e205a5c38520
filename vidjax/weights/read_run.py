"""Read a run's parameters and module from its folder, without the rest of its state."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from typing import NamedTuple

import flax.linen as nn
import jax
import numpy as np

from vidjax.config import Config, from_saved, other_schema
from vidjax.errors import ConfigError, ResumeError, WeightsError
from vidjax.evaluation.attentive_probe import chosen_head
from vidjax.files import Place, absolute, located
from vidjax.models import lora
from vidjax.models.probe_grid import HEADS as SIDE_BY_SIDE
from vidjax.models.probe_grid import pick
from vidjax.objectives import AttentiveProbe, Objective
from vidjax.objectives.base import Params
from vidjax.tasks import TASKS, build_objective
from vidjax.weights.checkpoint_scores import Which, choose_step, read_scores, why_chosen
from vidjax.weights.checksums import damaged_files
from vidjax.weights.run_files import CHECKPOINTS, CONFIG, check_saved, no_checkpoint

HEADS = ("head", "classes")  # in a family's own classifier, and in one with another pooling or a deeper head


def read_params(workdir: str | os.PathLike, which: Which = "last", *, ema: bool = False):
    """Read the parameters of a finished or running run.

    Args:
      workdir: the run's folder.
      which: last, or best by the evaluation metric (the last if there was no evaluation).
      ema: whether to read the moving average or, if the run keeps none, the teacher. The raw parameters are read if
        there is neither, or `ema` is False.

    Returns:
      the checkpoint's step, and the parameters as a tree of NumPy arrays, with the terms of LoRA merged.

    Raises:
      ResumeError: if the folder holds no checkpoint, or the chosen one is damaged or of another version.
      WeightsError: if a run with LoRA has no usable config.json.
    """
    step, params = read_unmerged(workdir, which, ema=ema)
    if lora.LORA in params:
        params = lora.merge(params, read_config(workdir).model.lora.alpha)
    return step, params


def read_unmerged(workdir: str | os.PathLike, which: Which, *, ema: bool) -> tuple[int, dict]:
    """Read the parameters as the run trains them, with the terms of LoRA not merged; see `read_params`."""
    root = absolute(workdir) / CHECKPOINTS
    check_saved(workdir)
    import orbax.checkpoint as ocp  # imported here, because public weights do not need it
    from etils import epath

    from vidjax.weights.step_folders import StepFolders

    steps = StepFolders().steps(root)
    if not steps:  # the first checkpoint is still being written to a bucket
        raise no_checkpoint(workdir)
    step = choose_step(steps, read_scores(root), which)
    folder = root / str(step)
    if damage := damaged_files(folder):
        raise ResumeError(f"checkpoint {step} of {workdir} is damaged ({damage})")
    if complaint := other_schema(ocp.JsonCheckpointHandler().restore(epath.Path(folder / "meta"))):
        raise ResumeError(f"checkpoint {step} of {workdir} cannot be read: {complaint}")
    if ema and (folder / "ema").exists():
        return step, _restore(folder / "ema")
    if ema and (teacher := (_tree(folder / "rest").get("extra") or {}).get("teacher")):
        return step, _restore(folder / "rest", {"extra": {"teacher": teacher}})["extra"]["teacher"]
    return step, _restore(folder / "params")


def _tree(item: Place) -> dict:
    """Return the tree of a checkpoint's item without its values."""
    import orbax.checkpoint as ocp
    from etils import epath

    return ocp.PyTreeCheckpointHandler().metadata(epath.Path(item)).tree


def _restore(item: Place, tree: dict | None = None) -> dict:
    """Read an item of a checkpoint, or the part of it that `tree` names, as NumPy arrays."""
    import orbax.checkpoint as ocp
    from etils import epath

    tree = _tree(item) if tree is None else tree
    as_numpy = jax.tree.map(lambda leaf: ocp.RestoreArgs(restore_type=np.ndarray), tree)
    wanted = ocp.args.PyTreeRestore(item=tree, restore_args=as_numpy, partial_restore=True)
    return ocp.PyTreeCheckpointHandler().restore(epath.Path(item), args=wanted)


class RunModel(NamedTuple):
    """The model of a run; it computes in float32, whatever the run's dtype.

    Attributes:
      objective: the objective around `module`; None if the run trained another module, as in self-distillation.
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
    """Read the model in the checkpoint that a run's eval.checkpoint selects.

    The parameters are the moving average if there is one. For a task with a teacher, the model is the teacher's
    encoder, as a classifier without a head.

    Raises:
      WeightsError: if the folder has no usable config.json or checkpoint.
    """
    try:
        check_saved(workdir)
        which = read_config(workdir).eval.checkpoint
        step, params = read_params(workdir, which, ema=True)
    except ResumeError as error:
        raise WeightsError(str(error)) from error
    config, objective = read_objective(workdir, _num_classes(params))
    if isinstance(objective, AttentiveProbe):
        params = pick(params, chosen_head(located(workdir), len(objective.heads)))
        objective = objective.one
    module, params = TASKS.find(config.task).for_inference(config, objective.module, params)
    chosen = why_chosen(workdir, step, which)
    return RunModel(config, objective if module is objective.module else None, module, params, step, chosen)


def _num_classes(params: Params) -> int:
    """Return the number of classes of a head, or of several heads side by side; 0 without a head."""
    params = params.get(SIDE_BY_SIDE, params)
    return next((params[name]["bias"].shape[-1] for name in HEADS if "bias" in params.get(name, {})), 0)


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
    with _readable(workdir):
        return config, inference_objective(config, num_classes)


def inference_objective(config: Config, num_classes: int) -> Objective:
    """Build the objective of a run with a module that computes in float32.

    Raises:
      ConfigError: if `build_objective` rejects the configuration.
    """
    model = dataclasses.replace(config.model, dtype="float32", remat="none")
    return build_objective(dataclasses.replace(config, model=model), num_classes)


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
    """Turn errors in a configuration into a WeightsError that names its file."""
    try:
        yield
    except (ValueError, TypeError, ConfigError) as error:
        path = located(workdir) / CONFIG
        raise WeightsError(f"{path} cannot be read by this version of vidjax: {error}") from error
