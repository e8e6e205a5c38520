"""The experiments of configs/ as a user reads them."""

import pathlib

from vidjax.main import read_config

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


def read(name, arg="smoke", **changes):
    """Read `--config=configs/<name>.py:<arg>`; `changes` are dotted keys with double underscores for dots."""
    settings = [f"--config.{key.replace('__', '.')}={value}" for key, value in changes.items()]
    return read_config([f"--config={CONFIGS / name}.py:{arg}", *settings])
