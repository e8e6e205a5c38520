"""A run's checkpoints, read without the rest of its state; how they are checked and ranked.

Orbax does not notice a flipped bit, so `manifest.json` in a step's folder holds the checksums of all its files;
`scores.json` beside the folders holds what evaluations said of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

import absl.logging
import jax
import numpy as np
import orbax.checkpoint as ocp

from vidjax.errors import ResumeError

MANIFEST = "manifest.json"
SCORES = "scores.json"
_REWRITTEN = ("_CHECKPOINT_METADATA", MANIFEST)  # orbax writes the first again when it commits


def read_params(workdir: str | os.PathLike, which: str = "latest", *, ema: bool = False):
    """The parameters of a finished or running run as NumPy arrays, without the rest of its state.

    Args:
      workdir: the run's folder.
      which: latest | best (by the evaluation metric; the latest when there was no evaluation).
      ema: the moving average when the run keeps one, else the raw parameters.

    Returns:
      (step, tree of NumPy arrays).

    Raises:
      ResumeError: when the folder holds no checkpoint, or the one asked for is damaged.
    """
    root = Path(workdir).absolute() / "checkpoints"
    if not any(path.name.isdigit() for path in root.glob("*")):
        raise ResumeError(f"{workdir} holds no checkpoint; give the workdir of a vidjax run that has saved one")
    handlers = {"params": ocp.PyTreeCheckpointHandler(), "ema": ocp.PyTreeCheckpointHandler()}
    with _quiet(), contextlib.ExitStack() as stack:
        options = ocp.CheckpointManagerOptions(read_only=True)  # the run may be going on
        manager = ocp.CheckpointManager(root, options=options, item_handlers=handlers)
        stack.callback(manager.close)
        steps = manager.all_steps()
        step = (best_step(steps, read_scores(root)) if which == "best" else None) or max(steps)
        if damage := damaged_files(root / str(step)):
            raise ResumeError(f"checkpoint {step} of {workdir} is damaged ({damage})")
        item = "ema" if ema and (root / str(step) / "ema").exists() else "params"
        tree = manager.item_metadata(step)[item].tree
        as_numpy = jax.tree.map(lambda leaf: ocp.RestoreArgs(restore_type=np.ndarray), tree)
        wanted = ocp.args.Composite(**{item: ocp.args.PyTreeRestore(restore_args=as_numpy)})
        return step, manager.restore(step, args=wanted)[item]


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in _REWRITTEN)
    sums = {}
    for path in files:
        with path.open("rb") as file:
            sums[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return sums


def damaged_files(folder: Path) -> str:
    """What differs from the manifest, in words; empty when nothing does."""
    try:
        wanted = json.loads((folder / MANIFEST).read_text())
    except FileNotFoundError:
        return f"{MANIFEST} is missing"
    except ValueError:
        return f"{MANIFEST} is not readable"
    found = checksums(folder)
    bad = sorted(name for name in wanted if found.get(name) != wanted[name])
    return f"{bad[0]}{' is changed' if bad[0] in found else ' is missing'}, {len(bad)} files in all" if bad else ""


def best_step(steps: Iterable[int], scores: dict[int, float]) -> int | None:
    """The step with the highest score, the later of equals; None when none has one."""
    return max((step for step in steps if step in scores), key=lambda step: (scores[step], step), default=None)


def read_scores(directory: Path) -> dict[int, float]:
    path = directory / SCORES
    return {int(step): score for step, score in json.loads(path.read_text()).items()} if path.exists() else {}


@contextlib.contextmanager
def _quiet():
    """Without orbax's warnings that a folder is read only and that items were left unread."""
    before = absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.ERROR)
    try:
        yield
    finally:
        absl.logging.set_verbosity(before)
