"""Find the checkpoints in a folder without reading Orbax's `_CHECKPOINT_METADATA` files.

Orbax writes this file again when it commits a checkpoint, so the file has no checksum. When Orbax opens a folder, it
reads the files of all checkpoints, and one damaged byte would make all of them unusable. The file only holds the time
of the commit, which vidjax does not need.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator

from orbax.checkpoint.path import step as step_lib


class StepFolders(step_lib.NameFormat[step_lib.Metadata]):
    """Orbax's folders of steps, `<step>`, without commit times."""

    def __init__(self):
        self._named = step_lib.standard_name_format()

    def steps(self, directory: str | os.PathLike) -> list[int]:
        """Return the steps of the complete checkpoints, in ascending order."""
        return sorted(found.step for found in self.find_all(directory))

    def build_name(self, step: int) -> str:
        """Return the name of a step's folder."""
        return self._named.build_name(step)

    def find_all(self, base_path: str | os.PathLike) -> Iterator[step_lib.Metadata]:
        """Return every complete checkpoint, in no particular order."""
        return map(_untimed, self._named.find_all(base_path))

    def find_step(self, base_path: str | os.PathLike, step: int) -> step_lib.Metadata:
        """Return the complete checkpoint of a step.

        Raises:
          ValueError: if there is none.
        """
        return _untimed(self._named.find_step(base_path, step))


class _Untimed(step_lib.Metadata):
    @property
    def commit_timestamp(self) -> datetime.datetime:
        return datetime.datetime.min.replace(tzinfo=datetime.UTC)


def _untimed(found: step_lib.Metadata) -> step_lib.Metadata:
    return _Untimed(found.step, found.path)
