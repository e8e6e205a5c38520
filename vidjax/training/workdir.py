"""The folder of a run: made where it is not there, and gone again when the run is refused before it has begun."""

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
    """The absolute path of a run's folder, which exists from now on.

    A start that ends before it has written config.json has trained nothing: the folders that it has made are removed,
    unless there is something in them by then.

    Raises:
      ConfigError: when it is no folder, or cannot be made.
    """
    if in_bucket(workdir):
        yield located(workdir)  # a bucket has no folders that would have to be made or removed
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
            with contextlib.suppress(OSError):  # what is not empty stays
                for place in made:
                    if place.exists():
                        place.rmdir()
        raise
