"""Embed queries (a video, a picture or a text) the way the windows of an index were embedded."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float32, Float64, UInt8
from PIL import Image, ImageOps

from vidjax.data.clips.augment import eval_crops
from vidjax.data.clips.eval_views import window_views
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.video.readers import open_video
from vidjax.data.window_clips import windows_in
from vidjax.errors import ConfigError, DataError, OutputError, UserError, WeightsError
from vidjax.evaluation.features.extraction import clip_features
from vidjax.evaluation.features.writer import digest
from vidjax.search.index_header import EMBEDDING, IndexHeader
from vidjax.weights import Pretrained
from vidjax.weights.backbones import load_backbone


@dataclasses.dataclass(frozen=True, eq=False)
class Asker:
    """The model of an index, which embeds queries."""

    model: Pretrained
    header: IndexHeader

    @classmethod
    def of(cls, model: Pretrained, header: IndexHeader, folder: str | os.PathLike) -> Asker:
        """Return an `Asker`, after checking that a model is that of the index.

        Raises:
          ConfigError: if its weights differ.
        """
        found, wanted = digest(model), header.backbone["digest"]
        if found != wanted:
            raise ConfigError(
                f"{folder} is an index of {header.backbone['source']} (weights {wanted[:8]}), but {model.source} has "
                f"the weights {found[:8]}; give the index's model, or index with this one into another folder"
            )
        return cls(model, header)

    @classmethod
    def load(cls, header: IndexHeader, folder: str | os.PathLike, source: str = "") -> Asker:
        """Load the model of an index, or the same model from another `source`.

        Raises:
          WeightsError: if it cannot be read.
          ConfigError: if its weights differ.
        """
        side = header.clip["image_size"] if isinstance(header.clip["image_size"], int) else None
        try:
            found = source or header.backbone["source"]
            model = load_backbone(found, num_frames=header.clip["num_frames"], image_size=side)
        except UserError as error:
            moved = f"if the model of {folder} has moved, run its `vidjax index` command again with the new --model"
            hint = "" if source else f"; {moved} (vidjax search takes --model too)"
            raise WeightsError(f"{error}{hint}") from error
        return cls.of(model, header, folder)

    @property
    def recipe(self) -> ClipRecipe:
        """How the clips of queries are taken."""
        return self.header.recipe(self.model.clips)

    def of_video(
        self, path: str | os.PathLike, on_window: Callable[[float], object] = lambda share: None
    ) -> tuple[Float32[np.ndarray, "w d"], Float64[np.ndarray, "w 2"]]:
        """Compute the vectors of all windows of a video, and their start and end in seconds.

        Args:
          on_window: called with the share of the video done since the last call.

        Raises:
          VideoError: if the video cannot be decoded.
          OutputError: if a vector is not finite.
        """
        found = []
        with open_video(path) as video:
            windows, times = windows_in(video, None, self.recipe)
            for clips in window_views(video, self.recipe, windows):
                found.append(self._vector(clips, os.fspath(path)))
                on_window(1 / len(windows))
        return np.concatenate(found), times

    def of_picture(self, path: str | os.PathLike) -> Float32[np.ndarray, "1 d"]:
        """Compute the vector of a clip that shows a picture throughout.

        Raises:
          DataError: if the picture cannot be read.
          OutputError: if the vector is not finite.
        """
        frames = np.repeat(read_picture(path)[None], self.recipe.num_frames, axis=0)
        return self._vector(eval_crops(frames, self.recipe), os.fspath(path))

    def of_text(self, text: str) -> Float32[np.ndarray, "1 d"]:
        """Compute the vector of a text.

        Raises:
          ConfigError: if the model has no text tower, or the text is empty or too long for it.
        """
        if not text.strip():
            raise ConfigError("the text to search for is empty; describe a moment in words")
        return np.asarray(self.model.embed_text([text]), np.float32)

    def _vector(self, clips: UInt8[np.ndarray, "1 t h w 3"], name: str) -> Float32[np.ndarray, "1 d"]:
        found = np.asarray(self._compiled(self.model.params, clips))
        if not np.isfinite(found).all():
            raise OutputError(f"the model's outputs for {name} are not finite; try another query")
        return found

    @functools.cached_property
    def _compiled(self) -> Callable[[Any, Any], Array]:
        def compute(params: Any, clips: UInt8[Array, "1 t h w 3"]) -> Array:
            return clip_features(self.model, params, clips)[self.header.feature]

        return jax.jit(compute)


def check_text(header: IndexHeader, folder: str | os.PathLike) -> None:
    """Reject a text query if the index holds no embeddings shared with texts; the model is not loaded.

    Raises:
      ConfigError: naming the alternatives.
    """
    if header.feature != EMBEDDING:
        raise ConfigError(
            f"{folder} holds {header.feature} features of {header.backbone['source']}, which cannot be compared with "
            "texts; search by --video or --image, or index with a model that has a text tower, such as "
            "openai/clip-vit-base-patch32"
        )


def read_picture(path: str | os.PathLike) -> UInt8[np.ndarray, "h w 3"]:
    """Read a picture as it is displayed, rotated as its metadata says.

    Raises:
      DataError: if it cannot be read.
    """
    try:
        with Image.open(path) as picture:
            return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    except FileNotFoundError as error:
        raise DataError(f"{path} cannot be found; name a picture such as a JPEG or PNG file") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{path} is not a picture that can be read ({error}); give a JPEG, PNG or WebP file, or "
            "--video=FILE for a video"
        ) from error
