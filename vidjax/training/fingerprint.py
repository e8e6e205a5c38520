"""What makes a run that run: refuses to go on with other data, another seed or another batch, and says what changed.

A restored step means "the first `step` global batches are done", which is only true of the same rows in the same order.
"""

from __future__ import annotations

import dataclasses
import json
import platform

import jax

import vidjax
from vidjax.config import Config
from vidjax.errors import ResumeError

_NOT_CONTENT = ("root", "eval_split", "workers", "threads", "prefetch", "cubes")  # where and how fast, not what


def fingerprint(config: Config, source) -> dict:
    """Flat values, under `same` those that must not change and under `noted` those that may, with a warning."""
    data = {key: value for key, value in dataclasses.asdict(config.data).items() if key not in _NOT_CONTENT}
    same = {
        "task": config.task,
        "model.name": config.model.name,
        "seed": config.seed,
        "content of the data set": source.content_id,
        "number of videos": len(source),
        **{f"data.{key}": value for key, value in data.items()},
    }
    noted = {
        **{f"model.{key}": value for key, value in dataclasses.asdict(config.model).items() if key != "name"},
        **{f"optim.{key}": value for key, value in dataclasses.asdict(config.optim).items()},
        **(_of_captions(config) if config.task == "captioning" else {}),
        "train.epochs": config.train.epochs,
        "train.steps": config.train.steps,
        "train.accumulate": config.train.accumulate,
        "vidjax version": vidjax.__version__,
        "jax version": jax.__version__,
        "python version": platform.python_version(),
    }
    return json.loads(json.dumps({"same": same, "noted": noted}))  # as it will read back: lists, not tuples


def compare(saved: dict, current: dict, workdir) -> list[str]:
    """What may differ and does, as sentences for a warning; keys that only one version of vidjax knows are among it.

    Raises:
      ResumeError: naming every value that must not differ and does.
    """
    different = _differences(saved["same"], current["same"])
    changed = [sentence for key, sentence in different.items() if key in saved["same"] and key in current["same"]]
    if changed:
        raise ResumeError(
            f"{workdir} holds another experiment: {'; '.join(changed)}. "
            "Choose another workdir, or set these back to go on with this run"
        )
    return [*different.values(), *_differences(saved["noted"], current["noted"]).values()]


def _differences(saved: dict, current: dict) -> dict[str, str]:
    return {
        key: f"{key} was {saved.get(key, 'not known')}, is now {current.get(key, 'not known')}"
        for key in sorted(saved.keys() | current.keys())
        if saved.get(key) != current.get(key)
    }


def _of_captions(config: Config) -> dict[str, object]:
    """Options of a captioner; the tokens themselves are part of the data set's content."""
    return {f"caption.{key}": value for key, value in dataclasses.asdict(config.caption).items()}
