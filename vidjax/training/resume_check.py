"""Refuse to resume a run after changes that affect what is learned, and name these changes.

A restored step means that the first `step` global batches are done, which is true only for the same rows in the same
order. The remaining steps belong to the same experiment only with the same model, loss and optimiser. The type of each
configuration key states whether it may change (`vidjax.config.types.Changeable`).
"""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Iterator
from typing import Any

import jax

import vidjax
from vidjax.config import Config, hints_of
from vidjax.config.types import Changeable, marks, plain
from vidjax.data.mixtures import used_sources
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.mixture import Mixture
from vidjax.errors import ResumeError
from vidjax.files import Place
from vidjax.models import preset
from vidjax.models.spec_keys import SET_BY, changeable, spec_fields

_CONTENT, _NUMBER = _OF_VIDEOS = "content of the data set", "number of videos"
_OF_SOURCE = f"{_CONTENT}, "  # followed by the name of a source of a mixture


def fingerprint(config: Config, source: VideoSource) -> dict:
    """Flat values that identify a run: those in `same` must not change; those in `noted` may, with a warning."""
    found = {
        "same": {_CONTENT: source.content_id, _NUMBER: len(source)},
        "noted": {
            "vidjax version": vidjax.__version__,
            "jax version": jax.__version__,
            "python version": platform.python_version(),
        },
    }
    if isinstance(source, Mixture):
        found["same"] |= {f"{_OF_SOURCE}{part.name}": part.source.content_id for part in source.parts}
    for key, value, change in _keys(config):
        found["noted" if change else "same"][key] = value
    spec = preset(config.model.name)
    fields = dataclasses.asdict(spec) | spec_fields(config.model.name, config.model.spec)
    for name in fields.keys() - SET_BY.keys():
        found["noted" if name in changeable(type(spec)) else "same"][f"model.spec.{name}"] = fields[name]
    return json.loads(json.dumps(found))  # as JSON returns them when read back: lists instead of tuples


def compare(saved: dict, current: dict, workdir: Place) -> list[str]:
    """Return warnings about differences that are allowed.

    Raises:
      ResumeError: when values that must not change differ or are missing on one side; the message names the changes.
    """
    changed = _differences(saved["same"], current["same"])
    if changed:
        raise ResumeError(_refusal(changed, workdir))
    effects = {key: change.effect for key, _, change in _keys(Config()) if change and change.effect}
    notes = _differences(saved["noted"], current["noted"])
    return [f"{sentence}: {effects[key]}" if key in effects else sentence for key, sentence in notes.items()]


def _refusal(changed: dict[str, str], workdir: Place) -> str:
    """An error message: the keys that changed, the effect on the videos, and the remedy."""
    keys = [said for name, said in changed.items() if name not in _OF_VIDEOS and not name.startswith(_OF_SOURCE)]
    videos = changed.get(_NUMBER, "some of their names, classes or sizes differ" if _CONTENT in changed else "")
    if sources := [name.removeprefix(_OF_SOURCE) for name in changed if name.startswith(_OF_SOURCE)]:
        videos += f" (in {', '.join(sources)} of data.mixture)"
    if not keys:
        return (
            f"the training videos are not those of the run in {workdir}: {videos}. Restore them to resume the run, or "
            "choose another workdir"
        )
    so = f" (which changes the training videos: {videos})" if videos else ""
    return (
        f"{'; '.join(keys)}{so}: this is not the experiment that {workdir} holds. Set "
        f"{'it' if len(keys) == 1 else 'these'} back to resume, or choose another workdir"
    )


def _keys(
    section: Any, prefix: str = "", within: Changeable | None = None
) -> Iterator[tuple[str, Any, Changeable | None]]:
    """Every dotted key except model.spec, with its value and, if it may change, the mark of the key or its section."""
    for name, hint in hints_of(type(section)).items():
        key, value = f"{prefix}{name}", getattr(section, name)
        change = next((mark for mark in marks(hint) if isinstance(mark, Changeable)), within)
        if dataclasses.is_dataclass(plain(hint)):
            yield from _keys(value, f"{key}.", change)
        elif key == "data.mixture":
            for source in used_sources(section):
                yield from _keys(value[source], f"{key}.{source}.", change)
        elif key != "model.spec":
            yield key, value, change


def _differences(saved: dict, current: dict) -> dict[str, str]:
    return {
        key: f"{key} was {saved.get(key, 'not known')}, is now {current.get(key, 'not known')}"
        for key in sorted(saved.keys() | current.keys())
        if saved.get(key) != current.get(key)
    }
