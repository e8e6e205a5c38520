"""A run's checkpoints: orbax writes them asynchronously, the latest and the best are kept, and checksums are verified.

A step's folder holds the items `params`; `rest` (step, optimiser state, and `extra` without its fixed part); `ema` and
`recent` if the run keeps them; and `meta` (JSON: schema number, fingerprint, mesh, and how many steps `recent` holds).
Orbax does not notice a flipped bit, so `manifest.json` holds the checksums of all files; it is written before the
folder gets its final name. A checkpoint is saved before it is scored, so that a run preempted during the evaluation
loses nothing; the scores are in `scores.json` beside the folders.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
from collections.abc import Callable, Mapping

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers as policies

from vidjax.config import SCHEMA, other_schema
from vidjax.errors import DataError, ResumeError
from vidjax.files import absolute, in_bucket, move_tree, set_aside, write_json
from vidjax.objectives.base import FIXED
from vidjax.training.failed_saves import tell_failures_once
from vidjax.training.spikes import no_steps
from vidjax.training.state import TrainState
from vidjax.weights.checkpoint_scores import SCORES, best_step, read_scores, scores_damaged
from vidjax.weights.checksums import MANIFEST, checksums, damaged_files
from vidjax.weights.run_files import CHECKPOINTS
from vidjax.weights.step_folders import StepFolders

_REMEMBERED = "remembered steps"  # key of `meta`
_COMMITTED = "commit_success.txt"  # the file that orbax writes last into a step's folder in a bucket


class Checkpoints:
    """The checkpoints of one run.

    Attributes:
      directory: `<workdir>/checkpoints`, with one folder per step.
      scores: the scores given to `set_score`, by step.
    """

    def __init__(self, workdir: str | os.PathLike, *, keep_latest: int = 2):
        """Open or create the folder, in which the newest `keep_latest` steps and the best-scored one are kept."""
        self.directory = absolute(workdir) / CHECKPOINTS
        self.scores = read_scores(self.directory)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=_LatestAndBest(keep_latest, self.scores),
            cleanup_tmp_directories=True,
            step_name_format=StepFolders(),
            async_options=ocp.AsyncOptions(post_finalization_callback=self._write_manifest),
        )
        tell_failures_once()
        self._manager = ocp.CheckpointManager(self.directory, options=options)
        self._folder = self._opened()

    def save(self, step: int, state: TrainState, meta: dict) -> None:
        """Write a checkpoint in the background, after waiting for the previous one.

        Raises:
          DataError: when this one or the previous one cannot be written.
        """
        if step in self.steps():
            return
        items = {"params": ocp.args.StandardSave(state.params), "rest": ocp.args.StandardSave(_rest(state))}
        if jax.tree.leaves(state.ema):
            items["ema"] = ocp.args.StandardSave(state.ema)
        if state.recent:
            items["recent"] = ocp.args.StandardSave(state.recent)
            meta = meta | {_REMEMBERED: len(state.recent.losses)}
        items["meta"] = ocp.args.JsonSave({"schema": SCHEMA} | meta)
        with self._writing():
            self._manager.wait_until_finished()
            if not self._is_still_there():  # orbax would recreate the folder without the earlier checkpoints
                raise FileNotFoundError(f"{self.directory} is no longer there")
            self._manager.save(step, args=ocp.args.Composite(**items), force=True)

    def _opened(self) -> int | None:
        """Hold the folder open, so that a folder created in its place cannot get its inode; None in a bucket."""
        return None if in_bucket(self.directory) else os.open(self.directory, os.O_RDONLY)

    def _is_still_there(self) -> bool:
        """Return whether the opened folder is still in its place, neither moved nor deleted."""
        if self._folder is None:
            return True
        try:
            return os.path.samestat(os.stat(self.directory), os.fstat(self._folder))
        except FileNotFoundError:
            return False

    def restore(
        self,
        shapes: TrainState,
        check_meta: Callable[[dict], None],
        say: Callable[[str], None],
        before: float = math.inf,
    ) -> tuple[int, TrainState] | None:
        """Restore the newest undamaged checkpoint; return its step and state, or None if there is none.

        Args:
          shapes: `ShapeDtypeStruct`s with a sharding on every leaf; the mesh need not be the one that wrote it.
          check_meta: called with the saved `meta`; raises if the checkpoint belongs to another run.
          say: called with a message for each damaged checkpoint, which is renamed to `<step>.damaged`.
          before: consider only checkpoints of earlier steps.

        Raises:
          ResumeError: when all checkpoints are damaged, or the newest undamaged one has another schema or model.
        """
        for step in reversed([step for step in self.steps() if step < before]):
            damage = _everywhere_the_same(lambda step=step: damaged_files(self.directory / str(step)))
            if not damage:
                meta = self._manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))["meta"]
                if complaint := other_schema(meta):
                    raise ResumeError(f"checkpoint {step} in {self.directory} cannot be resumed: {complaint}")
                check_meta(meta)
                return step, self._read(step, shapes, meta)
            self._set_aside(step)
            say(f"checkpoint {step} is damaged ({damage}); set aside as checkpoints/{step}.damaged")
        damaged = sorted(path.name for path in self.directory.glob("*.damaged"))
        if damaged and not self.steps():
            raise ResumeError(
                f"all checkpoints in {self.directory} are damaged ({', '.join(damaged)}); "
                "choose another workdir, or delete them to start over"
            )
        return None

    def delete_after(self, step: int) -> None:
        """Delete the checkpoints of later steps, except the run's best-scored checkpoint."""
        steps = self.steps()
        for later in {later for later in steps if later > step} - {best_step(steps, self.scores)}:
            self._manager.delete(later)

    def steps(self) -> list[int]:
        """Steps on disk, ascending."""
        return sorted(self._manager.all_steps())

    def score(self, step: int) -> float | None:
        """The score given to `set_score` for a step, or None."""
        return self.scores.get(step)

    def mend_scores(self, say: Callable[[str], None]) -> None:
        """Set a damaged scores.json aside, and rebuild it from the run's metrics."""
        damaged = _everywhere_the_same(lambda: SCORES * scores_damaged(self.directory))
        if not damaged:
            return
        if jax.process_index() == 0:
            set_aside(self.directory / SCORES)
            write_json(self.directory / SCORES, self.scores)
        say(
            f"{self.directory / SCORES} was damaged; set aside as {SCORES}.damaged, and rebuilt from the metrics with "
            f"the scores of {len(self.scores)} steps"
        )

    def set_score(self, step: int, score: float) -> None:
        """Record the score of a saved step (higher is better); from the next save on, the best step is kept."""
        self.scores[step] = score
        if jax.process_index() == 0:
            write_json(self.directory / SCORES, self.scores)

    def wait(self) -> None:
        """Wait until all saves are on disk.

        Raises:
          DataError: when one cannot be written.
        """
        with self._writing():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Wait for the last save, then release the folder."""
        try:
            with self._writing():
                self._manager.close()
        finally:
            if self._folder is not None:
                os.close(self._folder)
                self._folder = None

    @contextlib.contextmanager
    def _writing(self):
        """Turn disk errors into a `DataError`; a restart removes the unfinished step."""
        try:
            yield
        except (OSError, ValueError) as error:  # TensorStore reports disk errors as a ValueError
            if "Gloo" in str(error):  # a collective failed because one of the processes has ended
                raise
            first = str(error).strip().splitlines()[0].split(" [tensorstore_spec")[0]
            raise DataError(
                f"no checkpoint can be written to {self.directory} ({first}); check that the folder exists, is "
                "writable and has space, and run the same command again"
            ) from error

    def _read(self, step: int, shapes: TrainState, meta: dict) -> TrainState:
        items = {"params": ocp.args.StandardRestore(shapes.params), "rest": ocp.args.StandardRestore(_rest(shapes))}
        if jax.tree.leaves(shapes.ema):
            items["ema"] = ocp.args.StandardRestore(shapes.ema)
        window = shapes.recent.losses.shape[0] if shapes.recent else 0
        if window and meta.get(_REMEMBERED) == window:
            items["recent"] = ocp.args.StandardRestore(shapes.recent)
        try:
            read = self._manager.restore(step, args=ocp.args.Composite(**items))
        except (ValueError, KeyError, FileNotFoundError) as error:  # orbax raises these for other names and shapes
            first = str(error).strip().splitlines()[0]
            raise ResumeError(
                f"checkpoint {step} in {self.directory} holds a different model or optimiser from this configuration "
                f"({first}); choose another workdir, or set init_from to reuse the parameters that fit"
            ) from error
        recent = read.get("recent") or ()
        if window and not recent:  # the checkpoint remembers no steps, or another number of them
            places = jax.tree.map(lambda leaf: leaf.sharding, shapes.recent)
            recent = jax.jit(lambda: no_steps(window), out_shardings=places)()
        return TrainState(params=read["params"], ema=read.get("ema") or {}, recent=recent, **read["rest"])

    def _set_aside(self, step: int) -> None:
        if jax.process_index() == 0:
            move_tree(self.directory / str(step), self.directory / f"{step}.damaged")
        _barrier(f"set aside {step}")
        self._manager.reload()

    def _write_manifest(self) -> None:
        """Write the checksums; called in the background on the first process, before a written step is committed.

        On a disk, an unfinished step has a temporary name; in a bucket, which cannot rename, it lacks orbax's marker.
        """
        if in_bucket(self.directory):
            steps = (path for path in self.directory.iterdir() if path.name.isdigit())
            unfinished = [path for path in steps if not (path / _COMMITTED).exists()]
            folder = max(unfinished, key=lambda path: int(path.name))
        else:
            unfinished = [path for path in self.directory.glob("*.orbax-checkpoint-tmp*") if path.is_dir()]
            folder = max(unfinished, key=os.path.getmtime)
        write_json(folder / MANIFEST, checksums(folder))


def _rest(state: TrainState) -> dict:
    """The item `rest` of a state: step, optimiser state, and `extra` without its fixed part."""
    extra = state.extra
    if isinstance(extra, Mapping):
        extra = {name: tree for name, tree in extra.items() if name != FIXED}
    return {"step": state.step, "opt_state": state.opt_state, "extra": extra}


@dataclasses.dataclass(frozen=True)
class _LatestAndBest(policies.PreservationPolicy):
    latest: int
    scores: dict[int, float]

    def should_preserve(self, checkpoints, *, context) -> list[bool]:
        steps = [checkpoint.step for checkpoint in checkpoints]
        kept = {*steps[-self.latest :], best_step(steps, self.scores)}
        return [step in kept for step in steps]


def _everywhere_the_same(check: Callable[[], str]) -> str:
    """Return what the first process finds, so that all processes act alike."""
    if jax.process_count() == 1:
        return check()
    words = check().encode()[:256] if jax.process_index() == 0 else b""
    padded = np.frombuffer(words.ljust(256), np.uint8)
    return bytes(multihost_utils.broadcast_one_to_all(padded)).decode(errors="replace").strip()


def _barrier(name: str) -> None:
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)
