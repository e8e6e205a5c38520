"""Create the folder of a run, and remove it again if the run is refused before it begins."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Generator

from vidjax.errors import ConfigError
from vidjax.files import Place, in_bucket, located
from vidjax.weights.run_files import CHECKPOINTS, CONFIG


@contextlib.contextmanager
def opened(workdir: str | os.PathLike) -> Generator[Place]:
    """Create a run's folder if it does not exist, and yield its absolute path.

    A start that ends before writing config.json has trained nothing; the folders that it created are removed unless
    they contain files.

    Raises:
      ConfigError: when the path is not a folder, or it cannot be created.
    """
    if in_bucket(workdir):
        yield located(workdir)  # a bucket has no folders to create or remove
        return
    path = pathlib.Path(workdir).absolute()
    places = (path / CHECKPOINTS, path, *path.parents)
    made = [place for place in places if not place.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"workdir {workdir} cannot be created: {error.strerror}") from error
    try:
        yield path
    except BaseException:
        if not (path / CONFIG).exists():
            with contextlib.suppress(OSError):  # folders that are not empty stay
                for place in made:
                    if place.exists():
                        place.rmdir()
        raise
