"""Find the model of a distillation's teacher when its weights come from a run, which records it."""

from __future__ import annotations

from vidjax.config import Config, with_keys
from vidjax.errors import ConfigError
from vidjax.tasks.distillation import RANDOM
from vidjax.training.choices.kept import saved_config
from vidjax.training.init.video_model import check_source
from vidjax.weights.run_files import CONFIG, check_labels, is_run


def name_teacher(config: Config) -> Config:
    """Fill in teacher.name, teacher.spec and teacher.image_size from the run in teacher.weights, if the name is empty.

    Only training needs the teacher.

    Raises:
      ConfigError: when the weights are missing, or the run has no readable configuration.
    """
    teacher = config.teacher
    if config.mode != "train" or teacher.weights in ("", RANDOM):
        return config
    check_source("teacher.weights", teacher.weights)
    if teacher.name or not is_run(teacher.weights):
        return config
    begun = saved_config(teacher.weights)
    if begun is None:
        raise ConfigError(
            f"config.teacher.weights={teacher.weights!r} has no readable {CONFIG}; set config.teacher.name to its model"
        )
    keys = {
        "teacher.name": begun.model.name,
        "teacher.spec": {**begun.model.spec, **teacher.spec},
        "teacher.image_size": teacher.image_size or begun.data.image_size,
    }
    return with_keys(config, keys)


def check_classes(config: Config, labels: tuple[str, ...] | None) -> None:
    """Refuse a teacher's run in which a class number stands for a different class than in the data.

    Raises:
      DataError: naming the first class that differs.
    """
    teacher = config.teacher
    if teacher.weights not in ("", RANDOM) and teacher.logit_weight and is_run(teacher.weights):
        check_labels(teacher.weights, labels, "the teacher's classes must be those of the training videos")
