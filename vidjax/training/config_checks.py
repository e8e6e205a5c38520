"""Check that the keys of a configuration fit each other, before any data is opened or any device is started.

Single keys are checked by their types (`vidjax.config.from_dict`). Here the keys of each part of a run are checked
against each other: clips, model, task, optimiser, evaluation, probes. A task adds its own checks in `Task.check` and
`Evaluator.check`, and its modules and loss add more when they are built.
"""

from __future__ import annotations

from vidjax.config import Config, DataConfig
from vidjax.data.clips.checks import check_clips
from vidjax.data.datasets import DATASETS
from vidjax.data.mixtures import check_mixture, of_source, used_sources, validation_data
from vidjax.data.open import check_annotation
from vidjax.data.sources.annotations import LABEL, NOTHING
from vidjax.errors import ConfigError, DataError
from vidjax.models.pooling import ATTENTIVE
from vidjax.models.spec_keys import spec_fields
from vidjax.objectives import FeaturePrediction, MaskedAutoencoding, Objective
from vidjax.tasks import TASKS, Task, build_objective
from vidjax.training.optim.learning_rate import check_steps


def check_config(config: Config) -> None:
    """Refuse a configuration whose keys do not fit each other.

    Raises:
      ConfigError: naming the keys, their values and the remedy.
      DataError: when the data set lacks the annotation that the task learns from.
    """
    if not config.model.name:
        raise ConfigError("config.model.name is empty; name a size of the experiment, as in --config=FILE:base")
    task = TASKS.find(config.task)
    check_data(config.data, task)
    check_segments_read(config)
    if config.mode == "probe":
        check_probe(config)
        return
    spec_fields(config.model.name, config.model.spec)
    objective = build_objective(config, config.data.num_classes or 1)  # creates no parameters and computes nothing
    check_cubes(config, objective)
    check_optim(config)
    if task.evaluator is not None:
        task.evaluator.check(config)


def check_data(data: DataConfig, task: Task) -> None:
    """Refuse invalid clip settings or mixtures, and a data set without the annotation that the task learns from."""
    check_mixture(data)
    if data.mixture and task.annotation not in (NOTHING, LABEL):
        raise ConfigError(
            f"data.mixture is for tasks that learn from videos alone or from one class per video, and this task learns "
            f"from {task.annotation}; name one data set with data.name and data.root"
        )
    for name, source in used_sources(data).items():
        try:
            check_annotation(source.name, DATASETS.find(source.name), task.annotation)
        except DataError as error:
            raise DataError(of_source(str(error), name)) from error
    validated = validation_data(data).name
    check_annotation(validated, DATASETS.find(validated), task.annotation)
    check_clips(data)


def check_cubes(config: Config, objective: Objective) -> None:
    """Refuse cubes (`data.cubes`, cut by the loader) that differ from the model's."""
    cubes = config.data.cubes
    if not cubes:
        return
    if not isinstance(objective, MaskedAutoencoding | FeaturePrediction):
        raise ConfigError(
            f"data.cubes={cubes} is for masked_autoencoding and feature_prediction; task={config.task} takes clips; "
            "use ()"
        )
    spec = objective.module.spec
    if cubes != (spec.tubelet_size, spec.patch_size):
        raise ConfigError(
            f"data.cubes={cubes} are not those of {config.model.name}; use ({spec.tubelet_size}, {spec.patch_size}), "
            "or () to cut them on the device"
        )


def check_segments_read(config: Config) -> None:
    """Refuse segments for a task that does not read several at once."""
    if config.data.segments > 1 and config.task != "attentive_probe":
        raise ConfigError(
            f"data.segments={config.data.segments} is for task=attentive_probe, whose heads read several segments at "
            f"once; set it to 1 for task={config.task}"
        )


def check_optim(config: Config) -> None:
    """Refuse a step schedule whose epochs and factors are invalid."""
    if config.optim.schedule == "steps":
        check_steps(config.optim.step_epochs, config.optim.step_factors)


def check_probe(config: Config) -> None:
    """Refuse probe settings with no backbone, an unsuitable task or invalid cross-validation."""
    from vidjax.evaluation.probes.cross_validation import (  # imports scikit-learn, which only probes need
        PROBED,
        check_settings,
    )

    annotation = TASKS.find(config.task).annotation
    if annotation not in PROBED:
        raise ConfigError(
            f"config.task={config.task!r} learns from {annotation or 'videos alone'}, and probes predict a "
            f"{' or a '.join(PROBED)}; set config.task to classification or regression"
        )
    if not config.probe.backbones:
        raise ConfigError("config.probe.backbones is empty; name runs, hub ids, files, or random:PRESET")
    check_settings(config.probe)
    if attentive := [name for name in config.probe.probes if name in ATTENTIVE]:
        if annotation != LABEL:
            raise ConfigError(f"probe.probes={attentive[0]} predicts classes; set config.task to classification")
        TASKS["attentive_probe"].check(config)
