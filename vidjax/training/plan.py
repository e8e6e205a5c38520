"""Plan a run before its first step, and print the plan."""

from __future__ import annotations

import dataclasses
from contextlib import AbstractContextManager

import jax
from jax.sharding import Mesh

from vidjax.config import Config
from vidjax.data.mixtures import used_sources
from vidjax.data.sources.base import VideoSource
from vidjax.evaluation import Evaluator
from vidjax.files import Place
from vidjax.objectives import Objective
from vidjax.objectives.base import Params
from vidjax.ops.mesh_axes import row_blocks
from vidjax.progress import progress
from vidjax.tasks import build_objective, open_train
from vidjax.training.agreement import agree, data_facts, run_facts
from vidjax.training.choices.announce import choice_sentences, few_videos_sentence, pace_sentence, trained_sentences
from vidjax.training.choices.kept import keep_choices
from vidjax.training.choices.length import choose_length
from vidjax.training.choices.memory import Fit, fit_step
from vidjax.training.choices.pauses import estimate_pauses
from vidjax.training.choices.platform import choose_by_platform
from vidjax.training.choices.speed import estimate_pace
from vidjax.training.choices.teacher import check_classes
from vidjax.training.evaluate_run import build_evaluator
from vidjax.training.mesh import loader_slice
from vidjax.training.optim import RunLength
from vidjax.training.optim.learning_rate import fitting_warmup, scaled_lr, warmup_steps
from vidjax.training.reading import say_reading
from vidjax.training.run_step import RunStep, build_step, loaded_shapes
from vidjax.training.telemetry import say


@dataclasses.dataclass(frozen=True)
class Plan:
    """A run that is ready to begin.

    Attributes:
      asked: the configuration as given, with the choices of an earlier start if the run resumes.
      config: `asked`, with a value chosen for every key that it leaves open.
      source: training videos.
      length: the run's length in steps.
      fit: the step, compiled if the shapes of its batches were known.
      evaluator: scores the model; None for a task without a score.
    """

    asked: Config
    config: Config
    source: VideoSource
    length: RunLength
    fit: Fit
    evaluator: Evaluator | None

    @property
    def objective(self) -> Objective:
        """The training objective."""
        return self.fit.step.objective


def plan_run(
    config: Config, workdir: Place, mesh: Mesh, source: VideoSource | None, objective: Objective | None, known: bool
) -> Plan:
    """Open the videos, choose what the configuration leaves open, and build the step; call this within the mesh.

    Args:
      source, objective: used instead of those that the configuration names.
      known: whether batches come from `vidjax.data.loader`, so that their shapes are known in advance.

    Raises:
      UserError: for anything that cannot be trained.
    """
    asked = keep_choices(config, workdir)
    where = ", ".join(used_sources(asked.data)) or asked.data.root or asked.data.name
    with _shown(f"looking for the videos of {where}"):
        source = source or open_train(asked)
    check_classes(asked, source.labels)
    suited = choose_by_platform(asked, jax.default_backend())
    config = choose_length(suited, len(source), row_blocks(mesh))
    length, num_classes = run_length(config, len(source)), config.data.num_classes or source.num_classes

    def learn(config: Config) -> Objective:
        return objective or build_objective(config, num_classes, total_steps=length.total, source=source)

    def build(config: Config) -> RunStep:
        return build_step(config, learn(config), length, mesh)

    evaluator = build_evaluator(config, learn(config), mesh, workdir)
    videos = {"training": source, "evaluation": evaluator.source if evaluator else None}
    agree(lambda: data_facts(videos) | run_facts(config))
    say_reading(source, evaluator)
    with _shown("compiling the training step"):
        fit = fit_step(config, build, loaded_shapes(config, num_classes, mesh) if known else None)
    return Plan(asked, fit.config, source, length, fit, evaluator)


def run_length(config: Config, num_videos: int) -> RunLength:
    """The number of steps of a run, of its warm-up and of its other phases."""
    total, per_epoch = num_train_steps(config, num_videos), num_videos / config.data.global_batch
    warmup = fitting_warmup(warmup_steps(config.optim, per_epoch), total)
    return RunLength(total, warmup, round(config.optim.frozen_epochs * per_epoch), per_epoch=per_epoch)


def num_train_steps(config: Config, num_videos: int) -> int:
    """The number of steps of a run: `train.steps`, or else the epochs in global batches, rounded, at least 1."""
    return config.train.steps or max(1, round(config.train.epochs * num_videos / config.data.global_batch))


def announce(plan: Plan, params: Params, mesh: Mesh, first: int) -> None:
    """Print what will be trained and how, what was chosen, and how long it should take.

    Args:
      first: the step that the run resumes from.
    """
    config, length, data, optim = plan.config, plan.length, plan.config.data, plan.config.optim
    peak, _ = scaled_lr(optim, data.global_batch)
    asked = warmup_steps(optim, length.per_epoch)
    if length.warmup < asked:
        say(f"a warm-up of {asked} steps is longer than the run of {length.total}; shortened to {length.warmup}")
    say(
        f"{config.model.name}: {sum(leaf.size for leaf in jax.tree.leaves(params)):,} parameters on {mesh.size} "
        f"x {jax.devices()[0].device_kind} ({', '.join(f'{axis} {size}' for axis, size in mesh.shape.items())}); "
        f"processes: {jax.process_count()}"
    )
    say(
        f"{length.total} steps of {data.global_batch} videos x {data.clips_per_decode} clips; learning rate {peak:.4g} "
        f"= {optim.base_lr:.4g} * {data.global_batch} / {optim.reference_batch} at its peak after {length.warmup} "
        f"steps of warm-up, {float(plan.fit.step.optimizer.schedule(length.total)):.4g} at the end"
    )
    for sentence in (*trained_sentences(config, plan.fit.step), *choice_sentences(plan.asked, plan.fit)):
        say(sentence)
    if first == 0 and (warning := few_videos_sentence(config, len(plan.source))):
        say(warning)
    if plan.fit.needed is not None and first < length.total:
        flops, steps = plan.objective.train_flops_per_clip, range(first + 1, length.total + 1)
        with _shown("timing a few videos"):
            pace = estimate_pace(flops, plan.source, data, loader_slice(mesh)[1])
            pauses = estimate_pauses(config.train, steps, plan.fit.step.shapes, plan.evaluator, flops)
        say(pace_sentence(pace, len(steps), pauses))


def _shown(text: str) -> AbstractContextManager:
    """Show the text if the block takes longer than two seconds, as some do on a slow machine."""
    return progress(text, visible=jax.process_index() == 0)
