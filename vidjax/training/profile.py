"""Record a window of steps with JAX's profiler in `<workdir>/profile`."""

from __future__ import annotations

import pathlib
import tempfile

import jax

from vidjax.config import TrainConfig
from vidjax.files import Place, copy_tree, in_bucket


class Profile:
    """A recording of the steps profile_start to profile_start + profile_steps - 1.

    Nothing is recorded if profile_start is 0, or if the run resumes after step profile_start.
    """

    def __init__(self, workdir: Place, config: TrainConfig):
        self._folder, self._first = workdir / "profile", config.profile_start
        self._drafts = None
        self._last = config.profile_start + config.profile_steps - 1
        self._running = False

    def before(self, step: int) -> None:
        """Start recording if the step is the first of the window."""
        if step == self._first:
            if in_bucket(self._folder):
                self._drafts = tempfile.TemporaryDirectory()
            jax.profiler.start_trace(self._drafts.name if self._drafts else str(self._folder))
            self._running = True

    def after(self, step: int, output: jax.Array) -> None:
        """Stop recording if the step was the last of the window, after waiting for its output."""
        if self._running and step >= self._last:
            jax.block_until_ready(output)
            self.close()

    def close(self) -> None:
        """Stop recording if it is running."""
        if self._running:
            jax.profiler.stop_trace()
            self._running = False
            if self._drafts:
                copy_tree(pathlib.Path(self._drafts.name), self._folder)
                self._drafts.cleanup()
