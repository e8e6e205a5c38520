"""The header of an index, `index.json`: which features of which model it holds, and how its windows are taken."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
from collections.abc import Sequence
from typing import Any

from vidjax.data.clips.recipe import ClipRecipe, Windows
from vidjax.errors import DataError, ResumeError
from vidjax.evaluation.features.header import Header
from vidjax.files import Place, write_json

FILE = "index.json"
EMBEDDING = "embedding"  # the feature that texts share with videos
FEATURES = (EMBEDDING, "pooled", "token_mean", "token_max", "cls")  # one vector per window; the first present is used
_FORMAT = 1
_MODEL, _CLIP, _WINDOWS = {"source", "digest"}, {"num_frames", "stride", "sampling", "image_size"}, {"every", "length"}


@dataclasses.dataclass(frozen=True)
class IndexHeader:
    """What all vectors of an index have in common.

    Attributes:
      feature: the name of the feature, one of `FEATURES`.
      width: dimension of a vector.
      backbone: source and family of the model, for readers, and the digest of its weights and spec.
      clip: how the clip of each window is taken and normalised, as in a feature store's header.
      windows: seconds from the start of one window to the next (`every`), and the `length` of a window, 0 for the span
        of a clip.
      dtype: dtype of the vectors on disk.
      words: the command-line arguments that name the videos; they may change.
    """

    feature: str
    width: int
    backbone: dict[str, str]
    clip: dict[str, Any]
    windows: dict[str, float]
    dtype: str
    words: list[str]

    @classmethod
    def of(cls, store: Header, words: Sequence[str]) -> IndexHeader:
        """Return the header of an index whose stores are like the given one, which has a single feature."""
        [(feature, (width,))] = store.arrays.items()
        windows = store.windows or {}
        return cls(feature, width, store.backbone, store.clip, windows, store.dtype, list(words))

    def of_store(self, content_id: str, videos: int, rows_per_part: int) -> Header:
        """Return the header for one of the index's feature stores."""
        data: dict[str, Any] = {"name": "index", "root": self.words, "split": "index", "annotation": "", "labels": None}
        data |= {"num_classes": 0, "content_id": content_id, "num_rows": videos}
        arrays = {self.feature: (self.width,)}
        return Header(self.backbone, data, self.clip, arrays, rows_per_part, self.dtype, self.windows)

    def has_features_of(self, store: Header) -> bool:
        """Return whether a store has the same features of the same model, with the same clips, windows and dtype."""
        own = self.of_store("", 0, 1)
        kinds = [(of.backbone["digest"], of.clip, of.arrays, of.windows, of.dtype) for of in (own, store)]
        one, other = (json.dumps(kind, sort_keys=True) for kind in kinds)  # tuples and lists are equal
        return one == other

    @property
    def facts(self) -> dict[str, Any]:
        """Everything that two indexes of the same features have in common, by name."""
        return {
            "model": f"{self.backbone['source']} (weights {self.backbone['digest'][:8]})",
            "feature": self.feature,
            "width": self.width,
            **{f"clip.{key}": value for key, value in self.clip.items()},
            **{f"windows.{key}": value for key, value in self.windows.items()},
            "dtype": self.dtype,
        }

    def recipe(self, recipe: ClipRecipe) -> ClipRecipe:
        """Return a model's recipe with the clips and windows of the index."""
        side = self.clip["image_size"]
        windows = Windows(seconds=self.windows["every"], length=self.windows["length"])
        return dataclasses.replace(
            recipe.one_view(),
            num_frames=self.clip["num_frames"], stride=self.clip["stride"], fps=self.clip.get("fps", 0.0),
            sampling=self.clip["sampling"], image_size=side if isinstance(side, int) else tuple(side), windows=windows,
        )  # fmt: skip

    def command(self, folder: str | os.PathLike) -> str:
        """Return the command that brings the index up to date."""
        videos = " ".join(map(shlex.quote, self.words))
        every, length, stride = self.windows["every"], self.windows["length"], self.clip["stride"]
        options = f"--every {every:.15g} --feature {self.feature} --dtype {self.dtype}"
        if length and stride == 1:  # as --window sets it; another stride is the model's own
            options += f" --window {length:.15g}"
        elif not length and not self.clip.get("fps"):
            options += f" --stride {stride}"
        model = shlex.quote(self.backbone["source"])
        return f"vidjax index {videos} --model {model} {options} --out {shlex.quote(os.fspath(folder))}"


def read_index_header(folder: Place) -> IndexHeader | None:
    """Read the header of an index; None if the folder has none.

    Raises:
      DataError: if it is damaged or from another version of vidjax.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        tree = json.loads(path.read_text())
        if (found := tree.pop("format")) != _FORMAT:
            raise DataError(
                f"{path} has format {found}, and this version of vidjax reads {_FORMAT}; index into another folder"
            )
        header = IndexHeader(**tree)
        for part, keys in (("backbone", _MODEL), ("clip", _CLIP), ("windows", _WINDOWS)):
            if lacks := keys - tree[part].keys():
                raise KeyError(f"{part}.{min(lacks)}")
        return header
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is not the header of an index ({type(error).__name__}: {error}); remove the folder and index again"
        ) from error


def write_index_header(folder: Place, header: IndexHeader) -> None:
    """Write `index.json`."""
    write_json(folder / FILE, {"format": _FORMAT, **dataclasses.asdict(header)})


def check_same_index(folder: Place, found: IndexHeader, wanted: IndexHeader) -> None:
    """Reject an index whose features differ.

    Raises:
      ResumeError: if the model, the feature, its width, the clips, the windows or the dtype differ.
    """
    ours, theirs = found.facts, wanted.facts
    if found.backbone["digest"] == wanted.backbone["digest"]:
        theirs["model"] = ours["model"]  # a model may have moved
    unlike = [key for key in ours | theirs if ours.get(key) != theirs.get(key)]
    if unlike:
        changed = [f"{key} was {ours.get(key, 'absent')}, is now {theirs.get(key, 'absent')}" for key in unlike]
        raise ResumeError(
            f"{folder} is an index of other features: {'; '.join(changed)}. Name another folder, or undo these changes"
        )
