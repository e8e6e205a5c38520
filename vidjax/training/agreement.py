"""Compare the processes of a run before the first step: configuration, code, packages and data.

Nothing else would notice a difference: each process would compute its share in its own way, and the loss would look
sound.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import json
import os
import pathlib
import platform
import re
import socket
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import metadata
from typing import Any

import jax
import numpy as np
from jax._src import distributed as runtime  # its key-value store has no public name

import vidjax
from vidjax.config import Config, flatten, to_saved
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.mixture import Mixture
from vidjax.data.video.readers import FrameWindow, StoredVideo
from vidjax.errors import ConfigError, VideoError
from vidjax.files import Place, absolute
from vidjax.registry import is_outside
from vidjax.training.peers import process_name
from vidjax.weights.content import content_of
from vidjax.weights.run_files import CHECKPOINTS

# Keys whose values may differ between hosts, because they do not change what is computed.
OWN = frozenset(
    (
        "data.root", "data.stage", "data.checksums",  # paths on the host; the videos themselves are compared
        "data.workers", "data.threads", "data.prefetch", "data.cache_gb", "data.stall_seconds",  # to suit a host
        "train.compile_cache",  # a folder on the host's disk
        "train.profile_start", "train.profile_steps",  # a single host may be profiled
        "train.start_seconds", "train.peer_seconds",  # time limits
        "train.wandb",  # used by the first process only
    )
)  # fmt: skip
PACKAGES = (
    "jax", "jaxlib", "libtpu", "flax", "optax", "orbax-checkpoint", "numpy", "av", "grain", "opencv-python-headless",
    "pillow", "tensorflow-datasets",
)  # fmt: skip
_OWN_OF_SOURCE = re.compile(r"data\.mixture\.[^.]+\.(root|stage|checksums)")  # as the keys of a single source
_NUMERICS = ("jax_enable_x64", "jax_default_matmul_precision", "jax_default_prng_impl", "jax_threefry_partitionable")
_SAMPLED, _LOOKED_AT = 64, 2**16  # videos whose content is compared, and bytes read from each
_SHOWN = 3  # differences listed in a message
_MISSING, _ALL_AGREE = "missing", "all agree"
_calls = itertools.count()  # numbers the calls of `agree`, which every process makes in the same order
_PATIENCE = 24 * 3600 * 1000  # milliseconds; a host may copy its data for hours, and if a process dies, all end anyway


def agree(find: Callable[[], Mapping[str, Any]]) -> None:
    """Compare facts with the other processes; every process of a run must call this the same number of times.

    Args:
      find: returns the facts as JSON values, the most informative first; not called in a run of one process.

    Raises:
      ConfigError: in all processes if any differ, naming up to three differences and the processes.
    """
    state = runtime.global_state
    client = state.client
    if client is None or state.num_processes == 1:
        return
    mine = {key: _text(value) for key, value in find().items()}
    number, host, folder = state.process_id, socket.gethostname(), f"vidjax/agree/{next(_calls)}"

    def tell(name: str, words: str) -> None:
        client.key_value_set(f"{folder}/{name}", words)

    def hear(name: str) -> str:
        return client.blocking_key_value_get(f"{folder}/{name}", _PATIENCE)

    if number == 0:
        tell("0", json.dumps(mine))
        verdict = _verdict(host, mine, (hear(str(other)) for other in range(1, state.num_processes)))
        tell("verdict", verdict or _ALL_AGREE)
    else:
        first = json.loads(hear("0"))
        keys = dict.fromkeys((*first, *mine))
        different = {key: mine.get(key, _MISSING) for key in keys if first.get(key) != mine.get(key)}
        tell(str(number), json.dumps([process_name(number, host), different]))
        verdict = hear("verdict").removeprefix(_ALL_AGREE)
    if verdict:
        raise ConfigError(verdict)


def _verdict(host: str, mine: Mapping[str, str], answers: Iterable[str]) -> str:
    """A sentence that lists the differences from the facts of process 0; empty if there are none."""
    found: dict[str, dict[str, list[str]]] = {}  # for each key and each value that differs, the processes with it
    for name, different in map(json.loads, answers):
        for key, value in different.items():
            found.setdefault(key, {}).setdefault(value, []).append(name)
    if not found:
        return ""
    keys = sorted(found, key=[*mine, *found].index)
    told = [_difference(key, mine.get(key, _MISSING), process_name(0, host), found[key]) for key in keys[:_SHOWN]]
    more = f"; and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return (
        f"the processes of this run disagree, so it has not started: {'; '.join(told)}{more}. Run the same command "
        "with the same code, packages and data on every host"
    )


def _difference(key: str, value: str, first: str, others: Mapping[str, list[str]]) -> str:
    parts = [f"{value} on {first}"]
    for other, names in others.items():
        parts.append(f"{other} on {names[0]}" + (f" (and {len(names) - 1} more)" if len(names) > 1 else ""))
    return f"{key} is {' and '.join(parts)}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)


def run_facts(config: Config, workdir: Place | None = None) -> dict[str, Any]:
    """Facts that, besides the data, determine what a process trains: configuration, code, packages and checkpoints."""
    facts = {key: value for key, value in flatten(json.loads(json.dumps(to_saved(config)))) if not _is_own(key)}
    facts |= {f"version of {name}": _version(name) for name in PACKAGES}
    facts |= {"version of Python": platform.python_version()}
    facts |= {f"code of {name}": _digest(paths) for name, paths in _code(config)}
    facts |= {name: str(getattr(jax.config, name, None)) for name in _NUMERICS}
    if workdir is not None:
        steps = [int(path.name) for path in (workdir / CHECKPOINTS).glob("*") if path.name.isdigit()]
        facts["the last checkpoint in --workdir"] = max(steps, default="none")
        goes_on = steps and not (config.init_from and absolute(config.init_from) == workdir)
        facts |= dict(_weights(config, first=not goes_on))
    return facts


def _is_own(key: str) -> bool:
    """Return whether hosts may have different values for a key."""
    return key in OWN or _OWN_OF_SOURCE.fullmatch(key) is not None


def data_facts(splits: Mapping[str, VideoSource | None]) -> dict[str, Any]:
    """Facts that identify the videos of each split: their number, names and classes, and a sample of their content."""
    facts: dict[str, Any] = {}
    for split, source in splits.items():
        if source is None:
            continue
        if isinstance(source, Mixture):
            facts |= data_facts({f"{split} ({part.name})": part.source for part in source.parts})
            continue
        facts[f"the number of {split} videos"] = len(source)
        facts |= {f"class {number} of the {split} videos": name for number, name in enumerate(source.labels or ())}
        facts |= dict(_sample(source))
        facts[f"the list of {split} videos (hash)"] = source.content_id
    return facts


def _sample(source: VideoSource) -> Iterator[tuple[str, str]]:
    """Yield the size, and a checksum of the start, of evenly spaced videos: equal lists may name different files."""
    for row in np.unique(np.linspace(0, len(source) - 1, _SAMPLED).astype(int)).tolist():
        video, name = source[row].video, f"the video {source[row].id}"
        if isinstance(video, FrameWindow):
            video = video.path(0) if video.names else None
        if isinstance(video, StoredVideo):
            try:
                video = video.load()
            except VideoError as error:
                yield name, error.reason
                continue
        if isinstance(video, bytes):
            yield name, _about(len(video), video)
        elif isinstance(video, str | os.PathLike) and os.path.isfile(video):
            with open(video, "rb") as file:
                yield name, _about(os.path.getsize(video), file.read(_LOOKED_AT))
        elif isinstance(video, str | os.PathLike):
            yield name, "not there"


def _about(size: int, content: bytes) -> str:
    return f"{size} bytes ({zlib.crc32(content[:_LOOKED_AT]):08x})"


def _weights(config: Config, *, first: bool) -> Iterator[tuple[str, str]]:
    """Yield the content of the weights that the configuration names; initial weights only before the first step."""
    begun = {
        "init_from": config.init_from,
        "caption.decoder_from": config.caption.decoder_from,
        "contrastive.text_from": config.contrastive.text_from,
    }
    taught = {"align.teacher_from": config.align.teacher_from, "teacher.weights": config.teacher.weights}
    for key, source in ((begun if first else {}) | taught).items():
        if content := source and content_of(source):
            yield f"the content of {key}", content


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _code(config: Config) -> Iterator[tuple[str, list[pathlib.Path]]]:
    """The source files of vidjax and of the user's own modules that the configuration names."""
    yield f"vidjax {vidjax.__version__}", sorted(pathlib.Path(vidjax.__file__).parent.rglob("*.py"))
    sets = (source.name for source in config.data.mixture.values())
    random = (name.removeprefix("random:") for name in config.probe.backbones if name.startswith("random:"))
    models = (config.model.name, config.teacher.name, config.align.teacher, *random)
    for name in dict.fromkeys((config.task, config.data.name, *sets, *models)):
        spec = importlib.util.find_spec(name.partition(":")[0]) if is_outside(name) else None
        if spec and spec.origin:
            yield name.partition(":")[0], [pathlib.Path(spec.origin)]


def _digest(paths: Iterable[pathlib.Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]
