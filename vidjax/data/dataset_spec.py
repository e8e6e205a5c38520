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
    """Description of a data set: its classes, its layout on disk, and the functions that open its splits.

    A data set with one class per video needs only `find_annotations` and `listing`: opening, checking and preparing it
    follow from these, and its root may also hold records, lists or class folders. A data set whose rows carry more
    defines `open_split`, `open_videos` and `inventory`.

    Attributes:
      title: name for messages and charts.
      layout: the expected contents of the root, in words.
      annotations: names in `vidjax.data.sources.annotations.ANNOTATIONS` that its rows can carry.
      splits: the splits that `vidjax check` and `vidjax prepare` take by default.
      num_classes: the published number of classes; 0 where the root determines it.
      target_names: names of the components of a target.
      videos: the published number of videos per split; empty where it is not fixed.
      protocol: the official protocol, as configuration keys by section (`data`, `eval`).
      any_videos: whether `data.root` may be any folder of videos, or a file that lists some, with or without
        annotations.
      needs_root: whether `data.root` must name a folder of videos; False for videos that vidjax makes itself.
      find_annotations: (root, split) -> path of the official annotations, or None if the root does not have them.
      listing: (root, split) -> the videos that the official annotations list, each with its class.
      open_split: (root, split, data, annotation) -> the rows to train on or to evaluate.
      open_videos: (root, split) -> whole videos with all their annotations, to be stored as records.
      inventory: (root, split) -> the listed videos and the problems found, for `vidjax check`; with any_videos,
        (root, split, data), where `data` determines how videos are divided into splits.

    Raises:
      ConfigError: when an annotation is unknown or a required function is missing.
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
            raise ConfigError(f"{self.title}: rows with {', '.join(self.annotations)} need the function open_split")
        if self.listing is not None and self.find_annotations is None:
            raise ConfigError(f"{self.title}: listing needs find_annotations, which finds the annotations in a root")
        if self.find_annotations is not None and self.listing is None and self.inventory is None:
            raise ConfigError(f"{self.title}: find_annotations needs the function listing (or inventory) to read them")
