"""Choose the model of a run, and how its clips are taken, if the experiment leaves the model open."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import jax

from vidjax.config import Config, get_key
from vidjax.errors import ConfigError, WeightsError
from vidjax.evaluation.merge_views import rule_with
from vidjax.models import FAMILIES, ClipSpec, family_of
from vidjax.models.spec_keys import SET_BY
from vidjax.models.zoo import CLASSES, names_weights, usual_clip
from vidjax.training.choices.kept import saved_config
from vidjax.training.init.video_model import check_source
from vidjax.weights import Pretrained, pretrained
from vidjax.weights.run_files import CONFIG, is_run

# The keys that define a model and how its clips are taken: a model works best on clips like those it was trained on.
MODEL_KEYS = ("model.name", "model.spec")
RECIPES = ("tiny", "small", "base", "large", "huge")  # sizes of an experiment that leaves the model open
CLIP_KEYS = (
    "data.num_frames", "data.stride", "data.fps", "data.sampling", "data.image_size", "data.interpolation",
    "data.channels", "data.mean", "data.std",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ModelChoice:
    """A model for an experiment that leaves it open.

    Attributes:
      size: the experiment's recipe, as in --config=FILE:SIZE.
      keys: configuration keys with values, which the user's own settings override.
      reason: why the model was chosen, as part of a sentence.
    """

    size: str
    keys: dict[str, Any]
    reason: str


def choose_model(init_from: str, workdir: str | os.PathLike) -> ModelChoice:
    """Choose the model of the run in `workdir`, or else the model of `init_from`, or else one that suits the machine.

    Raises:
      ConfigError: when `init_from` cannot be read, holds no video model, or takes frames that are not square.
    """
    if saved := saved_config(workdir):
        return _like_run(saved, "as when this run began")
    if init_from:
        check_source("init_from", init_from)
    if init_from and is_run(init_from):
        begun = saved_config(init_from)
        if begun is None:
            raise ConfigError(
                f"config.init_from={init_from!r} has no readable {CONFIG}; name a size (--config=FILE:base)"
            )
        return _like_run(begun, f"to suit {init_from}")
    if init_from:
        return _like_weights(init_from)
    accelerated = jax.default_backend() != "cpu"
    size = "base" if accelerated else "tiny"
    kind = jax.devices()[0].device_kind if accelerated else "a CPU"
    return ModelChoice(size, {}, f"for {kind}")


def keys_of_weights(source: str) -> dict[str, Any]:
    """Return the keys for the video model of public weights, which may have no classes, and for its clips.

    Raises:
      ConfigError: when `source` cannot be read, holds no video model, or takes frames that are not square.
    """
    return _keys_of(_load(source))


def published_protocol(source: str) -> dict[str, Any]:
    """Return the keys for evaluating public weights: their model, and the clips and views of the published accuracy.

    The views and their merging are those published for these weights, or for a model with the same number of classes.

    Raises:
      ConfigError: when `source` cannot be read, holds no video classifier, or takes frames that are not square.
    """
    model = _load(source)
    if not model.num_classes:
        raise ConfigError(f"config.init_from={source!r} holds a {model.family} without classes; fine-tune it first")
    keys = _keys_of(model)
    usual = usual_clip(model.family, model.spec, model.num_classes, source)
    if usual and (CLASSES[usual.data] == model.num_classes or names_weights(source, usual.weights)):
        views = {"eval.clips": usual.clips, "eval.crops": usual.crops}
        keys |= {key: count for key, count in views.items() if count}
        keys["eval.merge"] = rule_with(model.clips.merge, "softmax")
    return keys


def _like_run(config: Config, reason: str) -> ModelChoice:
    keys = {key: get_key(config, key) for key in (*MODEL_KEYS, *CLIP_KEYS)}
    return ModelChoice(_recipe_for(config.model.name), keys, reason)


def _like_weights(source: str) -> ModelChoice:
    keys = keys_of_weights(source)
    return ModelChoice(_recipe_for(keys["model.name"]), keys, f"to suit {source}")


def _load(source: str) -> Pretrained:
    try:
        model = pretrained.load(source, tower=True)
    except WeightsError as error:
        raise ConfigError(f"config.init_from: {error}") from error
    if not isinstance(model.spec, ClipSpec):
        raise ConfigError(f"config.init_from={source!r} holds a {model.family}, which is not a video model")
    return model


def _keys_of(model: Pretrained) -> dict[str, Any]:
    """The model and how its clips are taken, as configuration keys."""
    name, fields = nearest_preset(model.family, model.spec.for_classes())
    recipe = model.clips
    if not isinstance(recipe.image_size, int):
        raise ConfigError(
            f"{model.source} takes frames of {recipe.image_size} pixels, but runs take square frames; name a size "
            "(--config=FILE:base)"
        )
    keys: dict[str, Any] = {"model.name": name, "model.spec": fields}
    return keys | {key: getattr(recipe, key.removeprefix("data.")) for key in CLIP_KEYS}


def nearest_preset(family: str, spec: ClipSpec) -> tuple[str, dict[str, Any]]:
    """The preset closest to a spec, and the fields for config.model.spec in which the spec differs from it."""

    def differences(size: str) -> dict[str, Any]:
        found = spec.differences(FAMILIES.find(family).specs[size])
        return {name: value for name, value in found.items() if name not in SET_BY}

    size = min(FAMILIES.find(family).specs, key=lambda size: len(differences(size)))
    return f"{family}_{size}", differences(size)


def _recipe_for(name: str) -> str:
    """The recipe for a model's size, or the base model's if there is none."""
    size = family_of(name)[1]
    return size if size in RECIPES else "base"
