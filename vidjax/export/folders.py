"""Write folders atomically: a folder gets its name only once everything in it is written."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Generator
from pathlib import Path

from vidjax.errors import ConfigError
from vidjax.files import in_bucket, writing

_ATTEMPTS, _PAUSE = 20, 0.2  # attempts to remove a draft, and seconds between them


@contextlib.contextmanager
def whole_folder(folder: str | os.PathLike) -> Generator[Path]:
    """Yield a draft folder beside a new or empty one, and rename it to that folder on success.

    Raises:
      ConfigError: when the folder is in a bucket.
      DataError: when the folder cannot be written; the draft is removed.
    """
    if in_bucket(folder):
        raise ConfigError(f"{os.fspath(folder)} is in a bucket; export to a local folder and copy that")
    folder = Path(folder).absolute()
    draft = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.part")
    try:
        with writing(folder):
            draft.mkdir(parents=True)
            yield draft
            draft.replace(folder)  # also replaces an empty folder
    finally:
        _remove(draft)


def _remove(draft: Path) -> None:
    """Remove a draft if it still exists; retry, because threads of a failed checkpoint may still write to it."""
    for _ in range(_ATTEMPTS):
        if not draft.exists():
            return
        shutil.rmtree(draft, ignore_errors=True)
        time.sleep(_PAUSE)
