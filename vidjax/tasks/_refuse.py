"""Refuse classification settings in other tasks."""

from __future__ import annotations

from vidjax.config import Config
from vidjax.errors import ConfigError

OF_CLASSIFICATION = ("data.mixup", "data.cutmix", "data.mix_group", "data.erase", "optim.label_smoothing")


def refuse(config: Config, *keys: str) -> None:
    """Refuse classification settings that another task would ignore.

    Raises:
      ConfigError: for the first key that is not at its default.
    """
    for key in keys:
        group, name = key.split(".")
        value, unset = (getattr(getattr(of, group), name) for of in (config, Config()))
        if value != unset:
            raise ConfigError(
                f"config.{key}={value} is for task=classification; set it to {unset} for task={config.task}"
            )
