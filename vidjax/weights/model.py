"""A model with its weights, called on arrays or on video files."""

from __future__ import annotations

import dataclasses
import functools
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int32, Num

from vidjax import ops
from vidjax.config import Config
from vidjax.data.class_texts import TEMPLATES, check_classes, check_templates
from vidjax.data.clips.eval_views import window_views
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.text_encoding import BPE_FILES, JSON, SENTENCEPIECE, TextEncoder
from vidjax.data.video.readers import open_video
from vidjax.data.window_clips import check_length, windows_in
from vidjax.errors import ConfigError, WeightsError, check_options, names_options
from vidjax.evaluation.features.extraction import ARRAYS, clip_features
from vidjax.evaluation.predict import Predictor
from vidjax.models import FAMILIES, ClipSpec
from vidjax.models.pooling import PooledClassifier
from vidjax.models.video_text import VideoTextModel
from vidjax.models.zero_shot import ZeroShotClassifier
from vidjax.objectives import Objective
from vidjax.objectives.normalize import normalize
from vidjax.tasks import Answer
from vidjax.weights import predictors, zero_shot
from vidjax.weights.clip_recipes import RecipeChanges, change_recipe
from vidjax.weights.fit_clips import check_clips, check_range, fit_on_host, fit_traced

LARGEST_BATCH = 32  # clips computed at once by a call outside of JAX transformations


@dataclasses.dataclass(frozen=True, eq=False)
class Pretrained:
    """A model with its weights: call it on clips, or `predict` and `embed` a video file.

    Attributes:
      module: Linen module; `module.apply({"params": params}, clips)` takes normalised clips of its size.
      params: float32 pytree.
      spec: the module's spec; for a model of videos and texts, the spec of its video tower.
      family: name of the model's family in `vidjax.models.FAMILIES`, or "gpt2".
      clip_recipe: how clips are sampled and normalised, and how their scores are merged; None for GPT-2.
      objective: the training objective around `module`, for scoring, reconstructing or captioning clips; None if there
        is none, as for a backbone or GPT-2.
      answer: the form of the model's predictions: classes, actions, numbers or a caption; None if it predicts nothing.
      labels: class names, if the source has them.
      notes: sentences about what was assumed, corrected or changed during loading.
      source: where the model was loaded from.
      config: the `vidjax.config.Config` of a run, the config.json of another source, or None.
      text_encoder: the vocabulary of a model with a text tower; None if there is none beside the weights.

    Example:
      >>> m = vidjax.from_pretrained("runs/finetune")
      >>> m
      <Pretrained videomae, 5 classes, 0.5 M parameters, from runs/finetune
        clips: 8 frames (every 2nd frame of the video), 64 x 64 pixels; uint8 or floats in [0, 1]
        labels: a, b, c, ...; notes: 1, in .notes>
      >>> m.spec.depth, m.labels[0], m.mean
      (4, 'a', (0.485, 0.456, 0.406))
    """

    module: nn.Module
    params: Any
    spec: Any
    family: str
    clip_recipe: ClipRecipe | None = None
    objective: Objective | None = None
    answer: Answer | None = None
    labels: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    source: str = ""
    config: Config | dict | None = None
    text_encoder: TextEncoder | None = None

    @property
    def num_classes(self) -> int | None:
        """The number of classes; 0 without a head; None for a module that is not a classifier."""
        if not isinstance(self.spec, ClipSpec):
            return None
        if isinstance(self.module, VideoTextModel):
            return 0
        classifiers = FAMILIES.find(self.family).classifier, PooledClassifier, ZeroShotClassifier
        return self.module.num_classes if isinstance(self.module, classifiers) else None

    @property
    def clips(self) -> ClipRecipe:
        """The model's clip recipe.

        Raises:
          ConfigError: for GPT-2, which takes no clips.
        """
        if self.clip_recipe is None:
            raise ConfigError(f"{self.source} holds a {self.family}, which takes no clips; call module.apply")
        return self.clip_recipe

    @property
    def mean(self) -> tuple[float, ...]:
        """The per-channel mean that inputs are normalised with, for pixels in [0, 1]; empty for GPT-2."""
        return self.clip_recipe.mean if self.clip_recipe else ()

    @property
    def std(self) -> tuple[float, ...]:
        """The per-channel standard deviation that inputs are normalised with; empty for GPT-2."""
        return self.clip_recipe.std if self.clip_recipe else ()

    def __call__(self, clips: Num[Array, "*b t h w 3"]) -> dict[str, Array]:
        """Encode and classify clips of any height and width.

        Clips are resized until they cover the model's frames, then the centre is cropped and pixels are normalised.
        Under `jit`, `grad` and `vmap`, all of this is traced. Otherwise, batches are padded to 1, 2, 4, 8, 16 or 32
        clips, so that the model is compiled for few sizes only, and larger batches are computed in parts.

        Args:
          clips: uint8, or floats in [0, 1]; one clip (t h w 3), or a batch (b t h w 3).

        Returns:
          the module's outputs for the batch or the single clip. For a pre-training module, these are the `tokens`
          (b n d) of all cubes and `pooled` (b d), their mean in float32. For a model of videos and texts, these are the
          outputs of its video tower, and `embedding` (b e) of unit length, to compare with the result of `embed_text`.

        Raises:
          ConfigError: if the number of frames is not the model's, or the array is not such a clip or batch.

        Example:
          >>> m = vidjax.from_pretrained("runs/finetune")
          >>> frames = vidjax.data.read_frames("video.mp4", range(8))
          >>> m(frames)["logits"].shape
          (5,)
          >>> jax.jit(m)(frames[None] / 255)["logits"].shape
          (1, 5)
        """
        return self.apply({"params": self.params}, clips)

    @names_options
    def apply(
        self, variables: Mapping[str, Any], clips: Num[Array, "*b t h w 3"], *, train: bool = False, rngs: Any = None
    ) -> dict[str, Array]:
        """Call the model with parameters that are passed as in Flax, so that it can be differentiated and trained.

        Args:
          variables: {"params": ...}, such as {"params": model.params}.
          clips: as for `__call__`.
          train: whether to apply dropout and drop path, which draw from the stream "dropout" of `rngs`.

        Example:
          >>> m = vidjax.from_pretrained("runs/finetune")
          >>> clip = jnp.full((8, 64, 64, 3), 0.5)
          >>> gradient = jax.grad(lambda params: m.apply({"params": params}, clip)["logits"].max())(m.params)
          >>> gradient["head"]["bias"].shape
          (5,)
        """
        if "params" not in variables:
            raise ConfigError('pass the parameters as {"params": ...}, as in Flax')
        if isinstance(clips, Tracer):
            return self._compiled(variables, clips, rngs, train=train)
        pixels = np.asarray(clips)
        self._check(pixels)
        if pixels.dtype != np.uint8:
            pixels = pixels.astype(np.float32)
            check_range(pixels)
        batch = fit_on_host(pixels if pixels.ndim == 5 else pixels[None], self.clips)
        compute = functools.partial(self._compiled, variables, rngs=rngs, train=train)
        found = compute(batch) if train else _in_parts(compute, batch)
        return found if pixels.ndim == 5 else {name: array[0] for name, array in found.items()}

    def outputs(self, params: Any, clips: Num[Array, "b t h w c"]) -> dict[str, Array]:
        """Compute the outputs for clips that already have the model's size; for use under `jax.jit`."""
        return self._outputs({"params": params}, clips, None, False)

    def predict(
        self,
        video: str | os.PathLike,
        *,
        top: int = 5,
        classes: Sequence[str] | None = None,
        templates: Sequence[str] = TEMPLATES,
        **views: Any,
    ) -> dict[str, Any]:
        """Predict the classes, actions or numbers of a video file, as `vidjax predict --json` does.

        Args:
          video: a path.
          top: number of classes to return.
          classes: descriptions of classes, for a model with a text tower; None for the classes that it was trained on.
          templates: prompts, each with {} in place of a class of `classes`; the mean of their embeddings is used.
          views: changes to the model's clip recipe, the fields of `vidjax.weights.clip_recipes.RecipeChanges`: the
            frame `stride`; `clips` per video; `crops` per clip; `merge` and `score`, the rules for merging views;
            `window` and `every`, the length and spacing of sliding windows in seconds; and `threshold`, the minimum
            probability for a class to appear in a timeline.

        Returns:
          `video`, the path, and `top`, the likeliest classes as {label, probability}, highest first. Sliding windows
          add `windows`, each with start and end in seconds and its own top, and `segments`, the timeline: {start, end,
          label, probability, windows, agree}. An action also has its `verb` and `noun`. A regression has `values`, a
          list of {name, value}, instead of `top`, and its segments are {start, end, values}.

        Raises:
          VideoError: if the video cannot be decoded.
          WeightsError: if the model predicts neither classes, actions nor numbers.
          ConfigError: for an unknown option or an invalid value; or if the model cannot read the given
            `classes`, see `vidjax.weights.zero_shot.with_classes`.
          OutputError: if the model's outputs are not finite.

        Example:
          >>> m = vidjax.from_pretrained("runs/finetune")
          >>> m.predict("video.mp4", top=2)
          {'video': 'video.mp4', 'top': [{'label': ..., 'probability': 0...}, {'label': ..., 'probability': 0...}]}
          >>> len(m.predict("video.mp4", clips=2, crops=3, stride=1)["top"])
          5
        """
        check_options(
            "predict",
            views,
            ("top", "classes", "templates", *(field.name for field in dataclasses.fields(RecipeChanges))),
        )
        if top < 1:
            raise ConfigError(f"top={top} must be at least 1")
        if classes is not None:
            return self._with_classes(classes, templates).predict(video, top=top, **views)
        asked = RecipeChanges(**views)
        if asked not in self._predictors:
            self._predictors[asked] = predictors.make_predictor(self, asked)
        name = os.fspath(video)
        return {"video": name, **predictors.answer(self._predictors[asked], name, top, _warn)}

    @names_options
    def embed(
        self,
        video: str | os.PathLike,
        *,
        features: Sequence[str] = (),
        stride: int | None = None,
        every: float | None = None,
        window: float | None = None,
    ) -> dict[str, Float[np.ndarray, " ..."]]:
        """Compute the features of a video file's central view, or of its windows, as `vidjax embed` does.

        Args:
          video: a path.
          features: names from `vidjax.evaluation.features.extraction.features`; if empty, everything that the model
            computes except the tokens.
          stride: frame stride; 0 spreads the frames over the whole video; None uses the model's own.
          every: seconds from the start of one window to the next.
          window: length of a window in seconds, over which the frames of a clip are spread.

        Returns:
          float32 arrays by name: token_mean (d), token_max (d), width_mean (n), pooled (d), cls (d), embedding (e),
          tokens (n d). With `every` or `window`, their first axis is that of the windows, and `times` (w 2) has the
          start and end of each window in seconds.

        Raises:
          VideoError: if the video cannot be decoded.
          ConfigError: for an invalid value, features that the model does not compute, or windows longer than the video.

        Example:
          >>> m = vidjax.from_pretrained("runs/finetune")
          >>> {name: array.shape for name, array in m.embed("video.mp4").items()}
          {'token_mean': (96,), 'token_max': (96,), 'width_mean': (256,), 'pooled': (96,)}
          >>> m.embed("video.mp4", features=["tokens"])["tokens"].shape
          (256, 96)
          >>> found = m.embed("video.mp4", features=["pooled"], every=0.4, window=0.8)
          >>> found["pooled"].shape, found["times"].tolist()
          ((3, 96), [[0.0, 0.8], [0.4, 1.2], [0.8, 1.6]])
        """
        recipe = change_recipe(self.clips, RecipeChanges(stride=stride, every=every, window=window)).one_view()
        computed = []
        with open_video(video) as opened:
            windows, times = [None], None
            if every or window:
                windows, times = windows_in(opened, None, recipe)
                check_length(recipe.windows, float(opened.times[-1]), f"{os.fspath(video)}, which has")
            for clip in window_views(opened, recipe, windows):
                found = self._features(self.params, clip)
                computed.append({name: np.asarray(found[name]) for name in self._feature_names(features, found)})
        arrays = {name: np.concatenate([one[name] for one in computed]) for name in computed[0]}
        return {name: array[0] for name, array in arrays.items()} if times is None else arrays | {"times": times}

    def _feature_names(self, asked: Sequence[str], found: Mapping[str, Array]) -> Sequence[str]:
        """Return the features asked for, or all except the tokens.

        Raises:
          ConfigError: for one that the model does not compute.
        """
        given = [name for name in ARRAYS if name in found]
        if unknown := [name for name in asked if name not in given]:
            raise ConfigError(f"{self.source} has no feature {unknown[0]!r}; a {self.family} has {', '.join(given)}")
        return asked or [name for name in given if name != "tokens"]

    def embed_text(self, texts: Sequence[str], *, truncate: bool = False) -> Float[np.ndarray, "n e"]:
        """Embed texts in the space of the model's video `embedding`.

        Texts are embedded as given; a CLIP expects a description such as "a photo of a dog".

        Args:
          texts: any number of texts.
          truncate: whether to cut off texts that are too long.

        Returns:
          float32 vectors of unit length; their product with an `embedding` is the similarity of text and video.

        Raises:
          ConfigError: if the model has no text tower, or a text is empty, or it is longer than the tower reads and
            `truncate` is False.
          WeightsError: if there is no vocabulary beside the weights.
        """
        if isinstance(texts, str):
            raise ConfigError("embed_text takes a list of texts; put the text in brackets")
        if not isinstance(self.module, VideoTextModel):
            raise ConfigError(
                f"{self.source} holds a {self.family} without a text tower; use a model with one: a CLIP "
                "(openai/clip-vit-base-patch16), a VideoPrism with texts, or a run with task=contrastive"
            )
        if self.text_encoder is None:
            raise WeightsError(
                f"{self.source} has a text tower but no vocabulary; put {JSON}, {' with '.join(BPE_FILES)}, or "
                f"{SENTENCEPIECE[0]} beside its weights"
            )
        tokens = self.text_encoder.encode(texts, truncate=truncate)
        parts = (tokens[start : start + LARGEST_BATCH] for start in range(0, len(tokens), LARGEST_BATCH))
        found = [self._embed_tokens(part) for part in parts]
        return np.concatenate(found) if found else np.zeros((0, self.module.spec.projection), np.float32)

    def _embed_tokens(self, tokens: Int32[np.ndarray, "b n"]) -> Float[np.ndarray, "b e"]:
        padding = (1 << (len(tokens) - 1).bit_length()) - len(tokens)
        padded = np.pad(tokens, ((0, padding), (0, 0)), "edge")
        return np.asarray(self._encode_text({"params": self.params}, padded))[: len(tokens)]

    def __repr__(self) -> str:
        count = sum(leaf.size for leaf in jax.tree.leaves(self.params))
        lines = [f"<Pretrained {self.family}, {self._role}, {count / 1e6:.1f} M parameters, from {self.source}"]
        if self.clip_recipe is None:
            lines.append("  takes no clips; see .module")
        else:
            height, width = self.clip_recipe.frame_size
            lines.append(f"  clips: {self.clip_recipe.words}, {height} x {width} pixels; uint8 or floats in [0, 1]")
        shown = ", ".join(self.labels[:3]) + (", ..." if len(self.labels) > 3 else "") if self.labels else "none"
        return "\n".join([*lines, f"  labels: {shown}; notes: {len(self.notes)}, in .notes>"])

    def __getstate__(self) -> dict[str, Any]:
        """Return only the fields; a copy compiles its functions again."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @property
    def _role(self) -> str:
        if isinstance(self.module, VideoTextModel):
            return "videos and texts"
        if self.num_classes:
            words = {"values": "numbers", "actions": f"{self.num_classes} nouns and verbs"}
            return words.get(self.answer.kind if self.answer else "", f"{self.num_classes} classes")
        return "backbone" if self.num_classes == 0 else type(self.module).__name__

    def _check(self, clips: Any) -> None:
        if not isinstance(self.spec, ClipSpec):
            why = "takes no clips" if self.clip_recipe is None else "does more than encode clips"
            raise ConfigError(f"{self.source} holds a {self.family}, which {why}; call module.apply")
        check_clips(clips, self.spec.num_frames)

    @functools.cached_property
    def _compiled(self):
        return jax.jit(self._of_any_size, static_argnames="train")

    @functools.cached_property
    def _features(self):
        return jax.jit(functools.partial(clip_features, self))

    @functools.cached_property
    def _encode_text(self):
        return jax.jit(functools.partial(self.module.apply, method="encode_text"))

    def _with_classes(self, classes: Sequence[str], templates: Sequence[str]) -> Pretrained:
        """Return this model with a head of text embeddings, cached by classes and templates."""
        key = check_classes(classes), check_templates(templates)
        if key not in self._zero_shot:
            self._zero_shot[key] = zero_shot.with_classes(self, *key)
        return self._zero_shot[key]

    @functools.cached_property
    def _zero_shot(self) -> dict[tuple[tuple[str, ...], tuple[str, ...]], Pretrained]:
        return {}

    @functools.cached_property
    def _predictors(self) -> dict[RecipeChanges, Predictor]:
        return {}

    def _of_any_size(self, variables: Any, clips: Array, rngs: Any, *, train: bool) -> dict[str, Array]:
        self._check(clips)
        batch = fit_traced(clips if clips.ndim == 5 else clips[None], self.clips)
        found = self._outputs(variables, batch, rngs, train)
        return found if clips.ndim == 5 else {name: array[0] for name, array in found.items()}

    def _outputs(self, variables: Any, clips: Array, rngs: Any, train: bool) -> dict[str, Array]:
        clips = normalize(clips, self.mean, self.std)
        options: dict[str, Any] = {"train": True, "rngs": rngs} if train else {}
        if isinstance(self.module, VideoTextModel):
            return cast(dict[str, Array], self.module.apply(variables, clips, method="video_outputs", **options))
        if self.num_classes is not None:
            return cast(dict[str, Array], self.module.apply(variables, clips, **options))
        self.spec.check_clips(clips)
        patches = ops.patchify(clips, self.spec.tubelet_size, self.spec.patch_size)

        encode = lambda module, patches, **options: module.encoder(patches, **options)  # noqa: E731
        tokens = cast(Array, self.module.apply(variables, patches, method=encode, **options))
        return {"tokens": tokens, "pooled": tokens.mean(axis=1, dtype=jnp.float32)}


def _in_parts(compute: Any, clips: Num[np.ndarray, "b t h w c"]) -> dict[str, Array]:
    """Compute the outputs of a batch of any size in batches whose sizes are powers of two."""
    parts = []
    for start in range(0, len(clips), LARGEST_BATCH):
        part = clips[start : start + LARGEST_BATCH]
        padding = (1 << (len(part) - 1).bit_length()) - len(part)
        found = compute(np.concatenate([part, np.zeros((padding, *part.shape[1:]), part.dtype)]) if padding else part)
        parts.append({name: array[: len(part)] for name, array in found.items()} if padding else found)
    return parts[0] if len(parts) == 1 else {name: jnp.concatenate([part[name] for part in parts]) for name in parts[0]}


def _warn(sentence: str) -> None:
    warnings.warn(f"{sentence} (see stride)", stacklevel=4)
