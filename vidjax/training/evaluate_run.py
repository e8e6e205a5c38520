"""Score a run: periodically during training, or on its own with `mode=evaluate`."""

from __future__ import annotations

import os
from typing import Any

import jax
from jax.sharding import Mesh

from vidjax.config import Config
from vidjax.data.sources.base import VideoSource
from vidjax.errors import ConfigError
from vidjax.evaluation import Evaluator
from vidjax.files import Place, absolute
from vidjax.models.param_paths import path_name
from vidjax.objectives import Objective
from vidjax.tasks import TASKS, build_objective, open_eval
from vidjax.training import zero_shot
from vidjax.training.agreement import agree, data_facts, run_facts
from vidjax.training.choices.kept import keep_choices
from vidjax.training.choices.platform import choose_by_platform
from vidjax.training.compile_cache import use_compile_cache
from vidjax.training.config_checks import check_config
from vidjax.training.mesh import loader_slice, make_mesh, param_shardings
from vidjax.training.report import write_report
from vidjax.training.telemetry import say
from vidjax.training.workdir import opened as open_workdir
from vidjax.viz.document import PAGE
from vidjax.weights import pretrained
from vidjax.weights.checkpoint_scores import why_chosen
from vidjax.weights.label_map import pick_classes
from vidjax.weights.read_run import read_params
from vidjax.weights.rules import flatten, nest
from vidjax.weights.run_files import check_labels, is_run


def build_evaluator(config: Config, objective: Objective, mesh: Mesh, workdir: Place) -> Evaluator | None:
    """The evaluator of a run's task on the evaluation split; None for a task without a score."""
    evaluator = TASKS.find(config.task).evaluator
    if evaluator is None:
        return None
    return evaluator(config, objective, open_eval(config), mesh, workdir, loader_slice(mesh))


def evaluate(config: Config, workdir: str | os.PathLike) -> dict:
    """Score a checkpoint on the evaluation split and write the results to `workdir`.

    The checkpoint is the one that eval.checkpoint names in `workdir`, so that adding `mode=evaluate` to a training
    command scores what it has trained. If `workdir` holds no run, the checkpoint is taken from `config.init_from`: a
    run, or anything else that `vidjax.from_pretrained` takes. The moving average is scored if the run keeps one.

    Raises:
      UserError: for anything the user can fix; a ConfigError when the task has no score or the checkpoint holds another
        model, and a ResumeError when there is no checkpoint.
    """
    task = TASKS.find(config.task)
    if task.evaluator is None:
        able = ", ".join(name for name, other in TASKS.items() if other.evaluator)
        raise ConfigError(f"config.mode=evaluate scores {able}; config.task is {config.task!r}")
    run = workdir if is_run(workdir) else config.init_from or workdir
    config = choose_by_platform(keep_choices(config, run), jax.default_backend())
    check_config(config)
    use_compile_cache(config.train.compile_cache)
    mesh, source = make_mesh(config.mesh), open_eval(config)
    agree(lambda: run_facts(config, absolute(run)) | data_facts({"evaluation": source}))
    objective = build_objective(config, config.data.num_classes or source.num_classes)
    if task.head_from_texts:
        objective, found, said, sentence = _texts_to_score(config, run, source, objective)
    else:
        found, said, sentence = _params_to_score(config, run, source)
    _, found = task.for_inference(config, objective.module, found)
    shapes = jax.eval_shape(lambda: objective.init(jax.random.key(0), {})[0])
    _check_same(shapes, found, run)
    params = jax.device_put(found, param_shardings(shapes, mesh, config.mesh.fsdp_min_size))
    with open_workdir(workdir) as folder:
        evaluator = task.evaluator(config, objective, source, mesh, folder, loader_slice(mesh))
        check_labels(run, evaluator.labels)
        say(sentence)
        results = evaluator(params, of=said)
        write_report(config, folder, "evaluated", results)
        say(f"report: {folder / PAGE}")
    return results


def _params_to_score(config: Config, run: str | os.PathLike, source: VideoSource) -> tuple[Any, dict[str, Any], str]:
    """The parameters to score, the entries of the results that describe them, and a sentence for the screen.

    If the numbers of classes of public weights and the data set differ, `config.init_label_map` selects the classes.
    """
    classes = config.data.num_classes or source.num_classes
    if not is_run(run) and run == config.init_from:
        model = pretrained.load(run)
        params = model.params
        if config.init_label_map and model.num_classes != classes:
            params = nest(pick_classes(flatten(params), config.init_label_map, classes))
        return params, {"eval/weights": model.source}, "; ".join((f"scoring {run}", *model.notes))
    step, found = read_params(run, config.eval.checkpoint, ema=True)
    chosen = why_chosen(run, step, config.eval.checkpoint, source.content_id)
    return found, said_of(step, config, chosen), f"scoring checkpoint {step} of {run}{chosen}"


def _texts_to_score(
    config: Config, run: str | os.PathLike, source: VideoSource, described: Objective
) -> tuple[Objective, Any, dict[str, Any], str]:
    """The objective with text embeddings of the classes as its head, and what `_params_to_score` returns."""
    params, said, sentence = None, {"eval/weights": os.fspath(run)}, f"scoring {run}"
    if is_run(run):
        params, said, sentence = _params_to_score(config, run, source)
    model = zero_shot.classifier(run, params, config, source, described)
    assert model.objective is not None
    return model.objective, model.params, said, "; ".join((sentence, *model.notes))


def said_of(step: int, config: Config, chosen: str) -> dict[str, Any]:
    """The entries of the results that describe the scored checkpoint.

    Args:
      chosen: the clause from `why_chosen` that says why this checkpoint was chosen.
    """
    why = {"eval/chosen": chosen.removeprefix(", ")} if chosen else {}
    return {"eval/checkpoint": config.eval.checkpoint, "eval/step": step, **why}


def _check_same(shapes, found, run) -> None:
    wanted, there = ({path_name(path): leaf.shape for path, leaf in _leaves(tree)} for tree in (shapes, found))
    different = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
    if different:
        name = different[0]
        raise ConfigError(
            f"{run} holds a different model from config.model: {name} is {there.get(name, 'missing')} there and "
            f"{wanted.get(name, 'missing')} here; evaluate with the configuration that it was trained with"
        )


def _leaves(tree):
    return jax.tree_util.tree_flatten_with_path(tree)[0]
