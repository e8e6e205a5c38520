"""Keep a run's choices: they are made once, and still apply when the run resumes or is evaluated."""

from __future__ import annotations

import json
import os

from vidjax.config import Config, from_saved, get_key, left_open, with_keys
from vidjax.errors import ConfigError
from vidjax.files import located
from vidjax.weights.run_files import CONFIG, is_run


def saved_config(workdir: str | os.PathLike) -> Config | None:
    """The configuration of the run in a folder; None if there is no checkpoint or no readable configuration."""
    path = located(workdir) / CONFIG
    if not is_run(workdir) or not path.is_file():
        return None
    try:
        return from_saved(json.loads(path.read_text()))
    except (ConfigError, ValueError):  # restoring its checkpoints reports what is wrong
        return None


def keep_choices(config: Config, workdir: str | os.PathLike) -> Config:
    """Fill the keys that the configuration leaves open with the choices of the run in a folder, if there is one."""
    saved = saved_config(workdir)
    if saved is None:
        return config
    return with_keys(config, {key: get_key(saved, key) for key in left_open(config)})
