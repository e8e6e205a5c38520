"""Folders that appear whole: what is written has the folder's name only when all of it is there."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Generator
from pathlib import Path

from vidjax.errors import ConfigError
from vidjax.files import in_bucket, writing


@contextlib.contextmanager
def whole_folder(folder: str | os.PathLike) -> Generator[Path]:
    """Give a new or empty folder its name when it has been written: yields a draft beside it.

    Raises:
      ConfigError: for a bucket.
      DataError: when the folder cannot be written; the draft is removed.
    """
    if in_bucket(folder):
        raise ConfigError(f"{os.fspath(folder)} is in a bucket; export to a disk, and copy the folder")
    folder = Path(folder).absolute()
    draft = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.part")
    try:
        with writing(folder):
            draft.mkdir(parents=True)
            yield draft
            draft.replace(folder)  # over an empty one too
    finally:
        shutil.rmtree(draft, ignore_errors=True)
