"""Score a vidjax model with `mteb`, whose video benchmark MVEB (arXiv:2606.14958) compares embeddings.

mteb decodes videos with torchcodec and gives its encoders tensors. `Encoder` takes the files instead and decodes them
itself. The embeddings are therefore those of `vidjax embed` with the same stride, and torchcodec and FFmpeg are not
needed.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Float, UInt8

from vidjax.data.clips.eval_views import protocol_views
from vidjax.data.machine import usable_cores
from vidjax.errors import ConfigError, OutputError, VideoError
from vidjax.evaluation.features.extraction import (
    Extraction,
    Step,
    clip_recipe_of,
    feature_shapes,
    finite_rows,
    make_step,
)
from vidjax.evaluation.multiview import one_late
from vidjax.progress import progress
from vidjax.weights.backbones import RANDOM, load_backbone
from vidjax.weights.clip_recipes import RecipeChanges, change_recipe
from vidjax.weights.content import content_of

if TYPE_CHECKING:
    from mteb.models.model_meta import ModelMeta

_USUAL = ("embedding", "pooled", "token_mean")  # the scored feature is the first of these that the model has


class Encoder:
    """A model that `mteb.evaluate` scores.

    Attributes:
      model: the loaded model; its recipe is the one with which clips are taken.
      feature: name of the scored feature.

    Example:
      >>> encoder = Encoder("runs/finetune")
      >>> encoder.feature
      'pooled'
      >>> results = mteb.evaluate(encoder, mteb.get_benchmark("MVEB(video, v1)"))  # doctest: +SKIP
    """

    def __init__(self, source: str | os.PathLike, *, feature: str | None = None, stride: int | None = 0):
        """Load a model.

        Args:
          source: as for `vidjax.from_pretrained`; or "random:" and the name of a preset, as a baseline.
          feature: a name from `vidjax.evaluation.features.extraction.features` with one vector per clip; None means
            "embedding" for a model with a text tower, otherwise "pooled" (the input of a head) or else "token_mean".
          stride: frame stride; 0 spreads the frames over the whole video, as mteb's own encoders of video models do;
            None takes the model's own.

        Raises:
          WeightsError: if the source is not a model of clips.
          ConfigError: for a feature that the model does not compute, or a stride below 0.
        """
        self._source = os.fspath(source)
        model = load_backbone(self._source)
        recipe = change_recipe(model.clips, RecipeChanges(stride=stride))
        self.model = dataclasses.replace(model, clip_recipe=recipe)
        shapes = {name: shape for name, shape in feature_shapes(self.model).items() if len(shape) == 1}
        self.feature = feature or next(name for name in _USUAL if name in shapes)
        if self.feature not in shapes:
            raise ConfigError(
                f"{source} has no feature {feature!r} with one vector per clip; it has {', '.join(shapes)}"
            )
        [self._width] = shapes[self.feature]
        self._step = functools.cache(self._make_step)

    @functools.cached_property
    def mteb_model_meta(self) -> ModelMeta:
        """Metadata that mteb stores with results; mteb caches results by name, revision and settings."""
        from mteb.models.model_meta import ModelMeta, ScoringFunction

        content, random = content_of(self._source), self._source.startswith(RANDOM)
        count = sum(leaf.size for leaf in jax.tree.leaves(self.model.params))
        recipe = self.model.clips
        return ModelMeta(
            loader=None,
            name=f"vidjax/{Path(self._source).name.replace(':', '-')}" if content or random else self._source,
            revision=content.rpartition("(")[2].rstrip(")") or None,
            release_date=None,
            languages=["eng-Latn"] if self._reads_text else None,
            n_parameters=count,
            memory_usage_mb=round(4 * count / 2**20),
            max_tokens=self.model.module.spec.text.context if self._reads_text else None,
            embed_dim=self._width,
            license=None,
            open_weights=None,
            public_training_code=None,
            public_training_data=None,
            framework=["JAX"],
            similarity_fn_name=ScoringFunction.COSINE,
            use_instructions=False,
            training_datasets=None,
            modalities=["video", "text"] if self._reads_text else ["video"],
            experiment_kwargs={"feature": self.feature, "frames": recipe.words},
        )

    @property
    def _reads_text(self) -> bool:
        return self.feature == "embedding"

    def encode(
        self, inputs: Any, *, task_metadata: Any, hf_split: str, show_progress_bar: bool = True, **options: Any
    ) -> Float[np.ndarray, "n d"]:
        """Embed the rows of mteb's data loader: their videos, their texts, or the sum of both.

        Args:
          inputs: a torch DataLoader over a `datasets.Dataset` with a column "video", "text" or both.
          options: the other arguments of mteb's protocol, which do not change an embedding.

        Raises:
          ConfigError: for a data set with neither column.
          VideoError: for a video that cannot be decoded; the message names the row.
          OutputError: if the embedding of a video is not finite.
        """
        del options
        dataset, parts = inputs.dataset, []
        if "video" in dataset.features:
            where = f"{task_metadata.name}, {hf_split}"
            parts.append(self._videos(dataset, inputs.batch_size, where, show_progress_bar))
        if "text" in dataset.features:
            parts.append(self.model.embed_text(list(dataset["text"]), truncate=True))
        if not parts:
            raise ConfigError(
                f"{task_metadata.name} has the columns {', '.join(dataset.features)}; none is video or text"
            )
        return sum(parts)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Compute the cosine between all pairs."""
        from mteb.similarity_functions import cos_sim

        return cos_sim(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Compute the cosine of each pair."""
        from mteb.similarity_functions import pairwise_cos_sim

        return pairwise_cos_sim(embeddings1, embeddings2)

    def _videos(self, dataset: Any, batch: int, where: str, visible: bool) -> Float[np.ndarray, "n d"]:
        from datasets import Video

        files = dataset.cast_column("video", Video(decode=False))
        with progress("embedding", len(dataset), visible=visible) as advance:
            outputs = one_late(map(self._step(batch), self._batches(files, batch, where)))
            found = []
            for start, output in zip(range(0, len(dataset), batch), outputs, strict=True):
                count = min(batch, len(dataset) - start)
                finite = finite_rows(output["peaks"])[:count]
                if not finite.all():
                    raise OutputError(
                        f"{where}: the embedding of row {start + int(finite.argmin())} is NaN or infinite"
                    )
                found.append(output["arrays"][self.feature][:count])
                advance(count)
        return np.concatenate(found)

    def _make_step(self, batch: int) -> Step:
        return make_step(self.model, Extraction([self.feature], "float32", batch))

    def _batches(self, files: Any, batch: int, where: str) -> Iterator[UInt8[np.ndarray, "b t h w c"]]:
        """Yield the clips of consecutive rows, the last one repeated to fill the batch."""
        recipe, size = clip_recipe_of(self.model), -(-batch // jax.local_device_count()) * jax.local_device_count()

        def clip(row: int, video: dict[str, Any]) -> UInt8[np.ndarray, "t h w c"]:
            try:
                return protocol_views(video["bytes"] or video["path"], recipe)[0]
            except VideoError as error:
                raise VideoError(error.reason, f"{where}, row {row}: {error.detail}") from None

        with ThreadPoolExecutor(usable_cores()) as pool:
            for start in range(0, len(files), batch):
                rows = range(start, min(start + batch, len(files)))
                clips = list(pool.map(clip, rows, files[rows.start : rows.stop]["video"]))
                yield np.stack([*clips, *[clips[-1]] * (size - len(clips))])
