"""Choices that a run has made already: they are made once, and hold when it goes on or is evaluated."""

from __future__ import annotations

import json
import os

from vidjax.config import Config, from_saved, get_key, left_open, with_keys
from vidjax.errors import ConfigError
from vidjax.files import located
from vidjax.weights.run_files import CONFIG, is_run


def saved_config(workdir: str | os.PathLike) -> Config | None:
    """The configuration of a run that has saved a checkpoint in a folder; None where there is none that can be read."""
    path = located(workdir) / CONFIG
    if not is_run(workdir) or not path.is_file():
        return None
    try:
        return from_saved(json.loads(path.read_text()))
    except (ConfigError, ValueError):  # what restores its checkpoints says what is wrong with it
        return None


def keep_choices(config: Config, workdir: str | os.PathLike) -> Config:
    """The configuration with what the run in a folder has chosen before, where it is left open again."""
    saved = saved_config(workdir)
    if saved is None:
        return config
    return with_keys(config, {key: get_key(saved, key) for key in left_open(config)})
