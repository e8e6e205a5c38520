"""`DatasetSpec`: everything vidjax knows about one data set. `vidjax.data.datasets` has one per file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from vidjax.data.sources.annotations import ANNOTATIONS, LABEL
from vidjax.errors import ConfigError

if TYPE_CHECKING:
    from vidjax.config import DataConfig
    from vidjax.data.sources.base import VideoSource
    from vidjax.data.sources.inventory import Inventory
    from vidjax.data.sources.official_lists import Listing


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """What a data set is, how it lies on disk, and how its splits are opened.

    A data set with one class per video gives `find_annotations` and `listing`, and nothing else: opening it, checking
    it and preparing it follow from these, and its root may also hold records, lists or class folders. A data set whose
    rows carry more gives `open_split`, `open_videos` and `inventory`.

    Attributes:
      title: name for messages and charts.
      layout: what the root looks like, in words.
      annotations: what its rows can carry, names of `vidjax.data.sources.annotations.ANNOTATIONS`.
      splits: the splits that `vidjax check` and `vidjax prepare` take by default.
      num_classes: the published number of classes; 0 where the root says it.
      target_names: names of the numbers that a target holds.
      videos: the published number of videos of a split; empty where it is not fixed.
      protocol: the official protocol, keys of the configuration by section (`data`, `eval`).
      any_videos: whether `data.root` is any folder of videos, or a file that lists some, with or without annotations.
      needs_root: whether `data.root` must name a folder of videos; False for videos that vidjax makes itself.
      find_annotations: (root, split) -> path of the official annotations, or None if the root does not have them.
      listing: (root, split) -> the videos that the official annotations list, each with its class.
      open_split: (root, split, data, annotation) -> the rows to train on or to evaluate.
      open_videos: (root, split) -> whole videos with everything annotated of them, to be stored as records.
      inventory: (root, split) -> what is listed and what is wrong with it, for `vidjax check`; with any_videos,
        (root, split, data), where `data` says how to divide.

    Raises:
      ConfigError: when the functions that it needs are not given.
    """

    title: str
    layout: str
    annotations: tuple[str, ...] = (LABEL,)
    splits: tuple[str, ...] = ("train", "val")
    num_classes: int = 0
    target_names: tuple[str, ...] = ()
    videos: Mapping[str, int] = dataclasses.field(default_factory=dict)
    protocol: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    needs_root: bool = True
    any_videos: bool = False
    find_annotations: Callable[[str, str], str | None] | None = None
    listing: Callable[[str, str], Listing] | None = None
    open_split: Callable[[str, str, DataConfig, str], VideoSource] | None = None
    open_videos: Callable[[str, str], VideoSource] | None = None
    inventory: Callable[..., Inventory] | None = None

    def __post_init__(self):
        unknown = [name for name in self.annotations if name not in ANNOTATIONS]
        if unknown or not self.annotations:
            raise ConfigError(f"{self.title}: annotations={self.annotations} must be some of {', '.join(ANNOTATIONS)}")
        if self.annotations != (LABEL,) and self.open_split is None:
            raise ConfigError(f"{self.title}: rows with {', '.join(self.annotations)} need a function open_split")
        if self.listing is not None and self.find_annotations is None:
            raise ConfigError(f"{self.title}: listing needs find_annotations, which says whether a root has them")
        if self.find_annotations is not None and self.listing is None and self.inventory is None:
            raise ConfigError(f"{self.title}: find_annotations needs a function listing (or inventory) that reads them")
