"""Which checkpoints a folder holds, without Orbax's `_CHECKPOINT_METADATA`.

Orbax writes that file again when it commits a checkpoint, after the checksums are made, and reads it of every
checkpoint when it opens their folder: one damaged byte in it would lock a run out of all its checkpoints. All that it
says is the time of the commit, which vidjax does not use.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator

from orbax.checkpoint.path import step as step_lib


class StepFolders(step_lib.NameFormat[step_lib.Metadata]):
    """Orbax's folders of steps, `<step>`, none of which has a time."""

    def __init__(self):
        self._named = step_lib.standard_name_format()

    def steps(self, directory: str | os.PathLike) -> list[int]:
        """The steps of the checkpoints that are complete, in ascending order."""
        return sorted(found.step for found in self.find_all(directory))

    def build_name(self, step: int) -> str:
        """The name of a step's folder."""
        return self._named.build_name(step)

    def find_all(self, base_path: str | os.PathLike) -> Iterator[step_lib.Metadata]:
        """Every complete checkpoint, in no order."""
        return map(_untimed, self._named.find_all(base_path))

    def find_step(self, base_path: str | os.PathLike, step: int) -> step_lib.Metadata:
        """The complete checkpoint of a step.

        Raises:
          ValueError: when there is none.
        """
        return _untimed(self._named.find_step(base_path, step))


class _Untimed(step_lib.Metadata):
    @property
    def commit_timestamp(self) -> datetime.datetime:
        return datetime.datetime.min.replace(tzinfo=datetime.UTC)


def _untimed(found: step_lib.Metadata) -> step_lib.Metadata:
    return _Untimed(found.step, found.path)
