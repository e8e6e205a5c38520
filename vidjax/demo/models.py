"""The models of a page, with their names and with calls that report progress."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import jax
import numpy as np
from jaxtyping import Float, UInt8

from vidjax.config import Config
from vidjax.data.class_texts import check_classes
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.demo import seen, timeline
from vidjax.demo.uploads import Tell, Upload
from vidjax.demo.work import Advance, watched
from vidjax.errors import ConfigError
from vidjax.evaluation.attention import AttentionMaps, attention_maps, map_sizes
from vidjax.evaluation.caption_generator import CaptionGenerator
from vidjax.evaluation.predict import Predictor
from vidjax.files import located, read_json
from vidjax.objectives import MaskedAutoencoding
from vidjax.ops.masking import MASKS
from vidjax.weights import Pretrained, predictors
from vidjax.weights.clip_recipes import RecipeChanges
from vidjax.weights.run_files import RESULTS
from vidjax.weights.zero_shot import with_classes

TOP = 5
MOST_CLASSES = 100
R = TypeVar("R")


@dataclasses.dataclass(eq=False)
class Served:
    """A model and its name on the page.

    Attributes:
      name: the end of the model's path, or its hub id; see `names_of`.
    """

    model: Pretrained
    name: str
    _used: set[str] = dataclasses.field(default_factory=set)

    @property
    def about(self) -> str:
        """A one-line description."""
        count = sum(leaf.size for leaf in jax.tree.leaves(self.model.params)) / 1e6
        outputs = "values" if self.model.answer and self.model.answer.kind == "values" else "classes"
        classes = f", {self.model.num_classes} {outputs}" if self.model.num_classes else ""
        clips = ""
        if recipe := self.model.clip_recipe:
            height, width = recipe.frame_size
            clips = f"; a clip is {recipe.words}, {height} x {width} pixels"
        return f"{self.model.family}{classes}, {count:.1f} M parameters{clips}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on loading the model, without its path."""
        return tuple(note.replace(self.model.source, self.name) for note in self.model.notes)

    def attention_sizes(self) -> dict[str, tuple[int, int]]:
        """Return (layers, heads) of each kind of attention map; empty if the model provides none."""
        try:
            return dict(map_sizes(self.model))
        except ConfigError:
            return {}

    def attention(self, upload: Upload, tell: Tell) -> tuple[UInt8[np.ndarray, "t h w 3"], AttentionMaps]:
        """Return the model's clip of a video and its attention maps.

        Raises:
          VideoError: when the video cannot be decoded.
        """
        clip = upload.clip(self.model.clips)
        if (self.name, "attention") not in upload.found:
            found = self.do("attention", tell, lambda _: attention_maps(self.model, clip), "looking")
            upload.found[self.name, "attention"] = found
        return as_shown(clip, self.model.clips), upload.found[self.name, "attention"]

    def do(self, key: str, tell: Tell, work: Callable[[Advance], R], words: str = "computing") -> R:
        """Run work of this model with a progress bar, which says when the first call of a kind compiles.

        Args:
          key: identifies the compiled function.
        """
        compiles = key not in self._used
        words = f"compiling {self.name} for this machine, which happens once" if compiles else f"{self.name}: {words}"
        found = watched(tell, words, work)
        self._used.add(key)
        return found


@dataclasses.dataclass(eq=False)
class Classifier(Served):
    """A model that answers with classes, actions or numbers."""

    @functools.cached_property
    def predictor(self) -> Predictor:
        """A predictor that takes clips as the model's evaluation does."""
        return predictors.make_predictor(self.model)

    @property
    def recipe(self) -> ClipRecipe:
        """The recipe of its clips."""
        return self.predictor.recipe

    @functools.cached_property
    def record(self) -> str:
        """A sentence with the accuracy of its run on the evaluation videos; empty if unknown."""
        if not isinstance(self.model.config, Config):
            return ""
        found = read_json(located(self.model.source) / RESULTS) or {}
        right, videos, constant = (found.get(f"eval/{key}") for key in ("top1", "num_expected", "constant_top1"))
        if right is None or constant is None or not videos:
            return ""
        return (
            f"{self.name} was right on {right:.1%} of the {videos} videos in {self.model.config.data.eval_split}; "
            f"the same answer for all would be right on {constant:.1%}."
        )

    def answer(self, upload: Upload, tell: Tell) -> tuple[dict[str, Any], list[str]]:
        """Return its answer for a video, as `vidjax.weights.predictors.answer` does, and remarks.

        Raises:
          VideoError: when the video cannot be decoded.
        """
        remarks = [] if self.recipe.windows else [seen.sentence(self.recipe, upload.info)]

        def remark(sentence: str) -> None:
            remarks.append(f"{upload.plain(sentence)}.")

        ask = lambda advance: predictors.answer(self.predictor, upload.path, TOP, remark, advance)  # noqa: E731
        found = upload.found[self.name, "answer"] = self.do("answer", tell, ask)
        return found, remarks

    def windows(self, upload: Upload, tell: Tell) -> list[dict[str, Any]]:
        """Return the answers for the windows of a long video; empty for a short one."""
        if self.recipe.windows:
            return upload.found.get((self.name, "answer"), {}).get("windows", [])
        windows = timeline.windows_for(self.recipe, upload.info)
        if windows is None:
            return []
        slider = timeline.sliding(self._slider, windows)
        ask = lambda advance: predictors.answer(slider, upload.path, TOP, lambda _: None, advance)  # noqa: E731
        return self.do("windows", tell, ask, f"{windows.count} windows")["windows"]

    @functools.cached_property
    def _slider(self) -> Predictor:
        return predictors.make_predictor(self.model, RecipeChanges(every=1.0))


@dataclasses.dataclass(eq=False)
class Reader(Served):
    """A model with a text tower, which answers with classes that a visitor names."""

    _asked: dict[tuple[str, ...], Classifier] = dataclasses.field(default_factory=dict)

    def classifier(self, words: str) -> Classifier:
        """Return a classifier for the classes in `words`, one per line; the last few are cached.

        Raises:
          ConfigError: if there are too few or too many classes, one is named twice, or the text tower cannot read one.
        """
        classes = check_classes([line for line in words.splitlines() if line.strip()])
        if len(classes) > MOST_CLASSES:
            raise ConfigError(
                f"{len(classes)} classes are named, but this page takes at most {MOST_CLASSES}; name fewer"
            )
        if classes not in self._asked:
            while len(self._asked) > 7:
                self._asked.pop(next(iter(self._asked)))
            self._asked[classes] = Classifier(with_classes(self.model, classes), self.name)
        return self._asked[classes]


@dataclasses.dataclass(eq=False)
class Captioner(Served):
    """A model that writes captions."""

    @functools.cached_property
    def generator(self) -> CaptionGenerator:
        """A generator that takes clips as the run's evaluation does."""
        return predictors.make_caption_generator(self.model)

    def caption(self, upload: Upload, tell: Tell) -> tuple[str, list[str]]:
        """Return a caption of a video, and remarks.

        Raises:
          VideoError: when the video cannot be decoded.
        """
        remarks = [seen.sentence(self.generator.recipe, upload.info)]

        def remark(sentence: str) -> None:
            remarks.append(f"{upload.plain(sentence)}.")

        ask = lambda _: predictors.caption(self.generator, upload.path, remark)["caption"]  # noqa: E731
        return self.do("caption", tell, ask, "describing"), remarks


@dataclasses.dataclass(eq=False)
class Autoencoder(Served):
    """A model that reconstructs masked patches."""

    _compiled: dict[Any, Callable[..., Any]] = dataclasses.field(default_factory=dict)

    @property
    def objective(self) -> MaskedAutoencoding:
        """Its objective, with the mask of training."""
        return cast(MaskedAutoencoding, self.model.objective)

    def hiding(self, mask: str, ratio: float) -> MaskedAutoencoding:
        """Return its objective with another mask; the ratio is clipped to hide at least one unit and keep one."""
        units, _ = MASKS[mask].units(*self.model.spec.grid)
        hidden = min(max(round(ratio * units), 1), units - 1)
        return dataclasses.replace(self.objective, mask=mask, mask_ratio=(hidden + 0.5) / units)

    def reconstruct(
        self, upload: Upload, objective: MaskedAutoencoding, seed: int, tell: Tell
    ) -> dict[str, Float[np.ndarray, "t h w 3"]]:
        """Return clips in [0, 1]: input, masked and reconstructed; see `MaskedAutoencoding.reconstruct`.

        Raises:
          VideoError: when the video cannot be decoded.
        """
        clip, key = upload.clip(self.model.clips), (objective.mask, objective.num_masked)
        if key not in self._compiled:
            self._compiled[key] = jax.jit(objective.reconstruct)
        work = lambda _: jax.device_get(  # noqa: E731
            self._compiled[key](self.model.params, {"video": clip[None]}, {"mask": jax.random.key(seed)})
        )
        found = self.do(str(key), tell, work, "reconstructing")
        return {name: as_shown(clips[0], self.model.clips) for name, clips in found.items()}


@dataclasses.dataclass(frozen=True)
class Models:
    """All models of a page."""

    classifiers: tuple[Classifier, ...] = ()
    autoencoders: tuple[Autoencoder, ...] = ()
    captioners: tuple[Captioner, ...] = ()
    readers: tuple[Reader, ...] = ()

    @property
    def all(self) -> tuple[Served, ...]:
        """All models, of any kind."""
        return (*self.classifiers, *self.autoencoders, *self.captioners, *self.readers)


def as_shown(frames: np.ndarray, recipe: ClipRecipe) -> np.ndarray:
    """Return the frames of a model's clip in RGB."""
    return frames[..., ::-1] if recipe.channels == "bgr" else frames


def names_of(sources: Sequence[str]) -> list[str]:
    """Return each model's name on the page: its hub id, or the shortest end of its path that is unique."""
    parts = [[source] if _is_hub_id(source) else os.path.abspath(source).split(os.sep)[1:] for source in sources]
    names = ["/".join(part[-1:]) for part in parts]
    for depth in range(2, max(map(len, parts), default=0) + 1):  # lengthen names until they are unique
        names = [
            "/".join(part[-depth:]) if names.count(name) > 1 else name for part, name in zip(parts, names, strict=True)
        ]
    return names


def _is_hub_id(source: str) -> bool:
    return bool(re.fullmatch(r"[\w.-]+/[\w.-]+", source)) and not os.path.exists(source)
