"""The sources that `data.mixture` names: checks, and the configuration that opens each of them."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping

from vidjax.config import DataConfig, SourceConfig
from vidjax.data.datasets import DATASETS
from vidjax.errors import ConfigError

_NAME = re.compile(r"\w[\w-]*")
_OF_A_SOURCE = re.compile(r"data\.(name|root|stage|checksums|train_split)\b")


def used_sources(data: DataConfig) -> Mapping[str, SourceConfig]:
    """The sources of a mixture with a weight above 0, in alphabetical order."""
    return {name: source for name, source in sorted(data.mixture.items()) if source.weight}


def source_data(data: DataConfig, name: str) -> DataConfig:
    """The configuration that opens one source of a mixture."""
    source = data.mixture[name]
    own = {"name": source.name, "root": source.root, "stage": source.stage, "checksums": source.checksums}
    return dataclasses.replace(data, mixture={}, **own)


def validation_data(data: DataConfig) -> DataConfig:
    """The configuration that opens videos for validation: without data.root, the source with the largest weight."""
    if not data.mixture:
        return data
    if data.root or not DATASETS.find(data.name).needs_root:
        return dataclasses.replace(data, mixture={})
    sources = used_sources(data)
    return source_data(data, max(sources, key=lambda name: sources[name].weight))


def published_videos(data: DataConfig) -> int:
    """The published number of training videos, summed over the sources of a mixture; 0 if one has no such number."""
    splits = {name: source.split or data.train_split for name, source in used_sources(data).items()}
    sources = [(data.mixture[name].name, split) for name, split in splits.items()] or [(data.name, data.train_split)]
    counts = [DATASETS.find(name).videos.get(split, 0) for name, split in sources]
    return sum(counts) if all(counts) else 0


def check_mixture(data: DataConfig) -> None:
    """Reject a mixture with an invalid name or weight, with only weights of 0, or with the same videos twice.

    Raises:
      ConfigError: naming the keys, their values and the remedy.
    """
    if not data.mixture:
        return
    seen: dict[tuple[str, str, str], str] = {}
    for name, source in data.mixture.items():
        if not _NAME.fullmatch(name):
            raise ConfigError(f"data.mixture names a source {name!r}; use letters, digits, - and _")
        if not math.isfinite(source.weight):
            raise ConfigError(f"data.mixture.{name}.weight={source.weight} must be a finite number")
        same = seen.setdefault((source.name, source.root.rstrip("/"), source.split or data.train_split), name)
        if same != name and DATASETS.find(source.name).needs_root and source.root:
            raise ConfigError(
                f"data.mixture.{same} and data.mixture.{name} are the same videos, {source.root}; keep one of them, "
                "with the sum of their weights"
            )
    if not used_sources(data):
        names = ", ".join(data.mixture)
        raise ConfigError(f"the weights of data.mixture ({names}) are all 0; give at least one source a weight above 0")


def of_source(message: str, name: str) -> str:
    """Rewrite a message about the data of one source so that it names that source's keys in full."""
    keys = {"train_split": "split"}

    def in_full(key: re.Match[str]) -> str:
        return f"data.mixture.{name}.{keys.get(key[1], key[1])}"

    return f"data.mixture.{name}: {_OF_A_SOURCE.sub(in_full, message)}"
