"""`vidjax.from_pretrained`: load a model with its weights from a run, a file, a folder or the hub."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from vidjax.config import Config
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.text_encoding import TextEncoder
from vidjax.errors import ConfigError, DataError, WeightsError, names_options
from vidjax.evaluation.merge_views import rule_with
from vidjax.files import Place, located
from vidjax.models import FAMILIES, ClipSpec, family_of
from vidjax.models.clip import CLIPVisionSpec
from vidjax.models.gpt2 import GPT2Spec
from vidjax.models.text_tower import TextTowerSpec
from vidjax.models.video_text import VideoTextModel, VideoTextSpec
from vidjax.models.videomae import VideoMAEPretraining
from vidjax.models.vivit import ViViTSpec
from vidjax.models.vjepa2 import VJEPA2Pretraining
from vidjax.models.zoo import named_fields
from vidjax.objectives import Classification, MaskedAutoencoding, Objective
from vidjax.tasks import TASKS, clip_recipe
from vidjax.weights import hub, preprocessing, read_run, run_files
from vidjax.weights.adapt import adapt, fresh
from vidjax.weights.adapter import ARRAYS, is_adapter, read_adapter
from vidjax.weights.bucket_files import downloaded
from vidjax.weights.checkpoint_contents import Contents, read_contents
from vidjax.weights.checkpoint_layouts import Description, example_inputs, recognise
from vidjax.weights.clip_recipes import published_recipe
from vidjax.weights.families import vivit_image
from vidjax.weights.model import Pretrained
from vidjax.weights.resize_positions import fit_positions
from vidjax.weights.rules import flatten, nest, read
from vidjax.weights.text_encoders import read_text_encoder

_NUMERICS = ("norm_eps", "merge_directions", "activation")  # settings that change the outputs but no parameter's shape


@names_options
def from_pretrained(
    source: str | os.PathLike,
    *,
    num_frames: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    num_classes: int | None = None,
) -> Pretrained:
    """Load a model with its weights.

    No code in a file is ever executed, and a file that can only be read in part is rejected.

    Args:
      source: one of the following. A vidjax run; its eval.checkpoint selects the best or last checkpoint, and the
        moving average is read if the run keeps one. The folder of an adapter (`vidjax.weights.adapter`). A hub id, or
        a file on the hub as owner/name/file.pth. A local folder with config.json, and model.safetensors or
        pytorch_model.bin. A .safetensors, .pth, .pyth, .pt, .bin or .npz file in a layout of `vidjax.weights.families`.
        A scenic msgpack checkpoint.
      num_frames, image_size: clip size; None keeps the source's. For another size, fixed positions are recomputed and
        learned positions interpolated; `notes` says so.
      num_classes: number of classes; if it differs from the source's, the head starts fresh. 0 for no head; None keeps
        the source's head. It also turns a pre-training model into a classifier.

    Raises:
      WeightsError: if the source cannot be read; the message names the file and the expected content.
      ConfigError: if the model cannot take clips of this size, or cannot be changed.
      DataError: if the vocabulary beside the weights is damaged.

    Example:
      >>> m = vidjax.from_pretrained("runs/finetune")
      >>> m.num_classes, m.spec.num_frames
      (5, 8)
      >>> longer = vidjax.from_pretrained("runs/finetune", num_frames=16, num_classes=3)
      >>> longer.clips.num_frames, longer.notes[-1]
      (16, 'a fresh head for 3 classes instead of one for 5 classes')
    """
    model = load(source)
    changes = {"num_frames": num_frames, "image_size": image_size, "num_classes": num_classes}
    if any(value is not None for value in changes.values()):
        if not isinstance(model.spec, ClipSpec):
            raise ConfigError(f"{source} holds a {model.family} that cannot be changed; leave out {', '.join(changes)}")
        model = model if num_classes is None else video_tower(model)
        module, params, notes = adapt(model.family, model.module, model.params, **changes)
        spec = module.spec.video if isinstance(module, VideoTextModel) else module.spec
        other_classes = num_classes not in (None, model.num_classes)
        labels = None if other_classes else model.labels
        model = dataclasses.replace(
            model, module=module, params=params, spec=spec, labels=labels, notes=(*model.notes, *notes),
            clip_recipe=_other_clips(model, spec, num_frames, image_size),
        )  # fmt: skip
        if other_classes:
            model = _with_classes(model)
        elif model.objective is not None:
            model = dataclasses.replace(model, objective=model.objective.with_module(module))
    return dataclasses.replace(model, params=jax.device_put(model.params))


def load(source: str | os.PathLike, begin: Any = None, *, tower: bool = False) -> Pretrained:
    """Load a model unchanged, with parameters as NumPy arrays on the host; see `from_pretrained`.

    Args:
      begin: the spec of a model to initialise from the source. If it is a ViViT's and the source is an image model, the
        result is a ViViT of this spec.
      tower: whether to return only the video tower of a model that also has a text tower.
    """
    model = _load(source, begin)
    return video_tower(model) if tower else model


def _load(source: str | os.PathLike, begin: Any) -> Pretrained:
    path = located(os.path.expanduser(source))
    if run_files.is_run(path):
        return _from_run(path)
    if is_adapter(path):
        return _from_adapter(path)
    on_hub = not path.exists()
    files = hub.fetch(os.fspath(source)) if on_hub else downloaded(path)
    contents = read_contents(files)
    description = _as_published(_describe(contents, begin), os.fspath(source))
    mean, std, notes = _pixels(description, contents.preprocessor)
    said, module = contents.config or {}, description.build()
    if on_hub and isinstance(module, VideoTextModel):
        hub.fetch_vocabulary(os.fspath(source))
    ours = contents.preprocessing or {}
    about = preprocessing.parse(ours, contents.source) if "vidjax" in ours else None
    several = said.get("problem_type") == "multi_label_classification" or (about and about.activation == "sigmoid")
    task = "multi_label" if several else "classification"
    answer = TASKS[task].answer
    merge = rule_with(description.merge, answer.activation) if answer else description.merge
    recipe = published_recipe(
        description.family, description.spec, description.num_classes,
        pixels=(mean, std), merge=merge, source=os.fspath(source),
    )  # fmt: skip
    if (
        about
        and recipe
        and (about.recipe.num_frames, about.recipe.frame_size) == (recipe.num_frames, recipe.frame_size)
    ):
        recipe = about.recipe
    return Pretrained(
        module=module,
        params=_params(contents, description),
        spec=description.spec,
        family=description.family,
        clip_recipe=recipe,
        objective=_objective(module, recipe, normalize_target=said.get("norm_pix_loss", True)),
        answer=answer if description.num_classes else None,
        labels=description.labels or (about.labels if about else None),
        notes=(*contents.notes, *description.notes, *notes, *_order(recipe)),
        source=os.fspath(source),
        config=contents.config,
        text_encoder=_text_encoder(files if files.is_dir() else files.parent, module),
    )


def video_tower(model: Pretrained) -> Pretrained:
    """Return the video tower of a model that also has a text tower; another model is returned unchanged.

    CLIP's vision tower keeps its projection into the shared space.
    """
    if not isinstance(model.module, VideoTextModel):
        return model
    spec, params = model.spec, dict(model.params["video"])
    if isinstance(spec, CLIPVisionSpec):
        spec = dataclasses.replace(spec, projection=model.module.spec.projection)
        params["encoder"] = {**params["encoder"], "projection": model.params["video_projection"]}
    module = FAMILIES.find(model.family).classifier(spec, 0)
    return dataclasses.replace(
        model, module=module, params=params, spec=spec, objective=None, answer=None, text_encoder=None
    )


def read_start(
    init_from: str,
    spec: ClipSpec | TextTowerSpec | VideoTextSpec | GPT2Spec | None,
    pixels: tuple | None = None,
    *,
    trained: bool = False,
) -> tuple[Mapping, tuple[str, ...]]:
    """Read the parameters that a new model starts from, with learned positions resized to its clips.

    Args:
      init_from: a run, or anything else that `from_pretrained` takes. A run's raw parameters are read, not their moving
        average; from a run whose task has a teacher, the teacher's are read.
      spec: the new model's; None for a module without one. The spec of a video or a text tower selects that tower of a
        model that has both.
      pixels: the new model's mean and deviation, for a note if the source's differ; None for no note.
      trained: whether to read the raw parameters even from a run with a teacher.

    Returns:
      the parameters, and notes on them.

    Raises:
      ResumeError, WeightsError: if the source cannot be read, or holds a model of another family.
    """
    if run_files.is_run(init_from):
        taught = TASKS.find(read_run.read_config(init_from).task).has_teacher and not trained
        step, source = read_run.read_params(init_from, ema=taught)
        notes = (f"parameters of {'the teacher of ' if taught else ''}{init_from} at step {step}",)
        module = read_run.read_module(init_from)[1] if spec is not None else None
        if module is not None and "backbone" in source:  # a captioner
            module, source = module.backbone, source["backbone"]
        old = module.spec if module is not None else None
    else:
        model = load(init_from, begin=spec, tower=isinstance(spec, CLIPVisionSpec) and spec.projection > 0)
        source, old = model.params, getattr(model.module, "spec", None)
        notes = (f"parameters of {init_from}", *model.notes, *other_pixels((model.mean, model.std), pixels))
    if spec is None:
        return source, notes
    if isinstance(old, VideoTextSpec) and isinstance(spec, ClipSpec):
        source, old = source["video"], old.video
    if isinstance(spec, TextTowerSpec | VideoTextSpec):
        return _texts_start(init_from, source, old, spec), notes
    if type(old) is not type(spec) or not (isinstance(old, ClipSpec) and isinstance(spec, ClipSpec)):
        theirs, ours = (type(of).__name__.removesuffix("Spec") for of in (old, spec))
        raise WeightsError(
            f"{init_from} holds a {theirs}, but the model is a {ours}; name weights of a {ours}, or choose a model of "
            "the weights' family"
        )
    source, changes = fit_positions(source, old, spec)
    return source, (*notes, *changes, *other_numerics(old, spec))


def _texts_start(init_from: str, source: Mapping, old: Any, spec: TextTowerSpec | VideoTextSpec) -> Mapping:
    """Return the parameters of a text tower, or of a model with both towers, with its video positions resized."""
    if not isinstance(old, VideoTextSpec):
        raise WeightsError(
            f"{init_from} holds a {type(old).__name__.removesuffix('Spec')}, which has no text tower; name a CLIP, a "
            "VideoPrism with texts or a run with task=contrastive"
        )
    whole = isinstance(spec, VideoTextSpec)
    for theirs, ours in ((old.text, spec.text), (old.video, spec.video)) if whole else ((old.text, spec),):
        if type(theirs) is not type(ours):
            names = (type(of).__name__.removesuffix("Spec") for of in (theirs, ours))
            raise WeightsError(
                "{} has a {}, but the model has a {}; name weights of the same towers, or choose the towers of these "
                "weights".format(init_from, *names)
            )
    if not whole:
        return source["text"]
    return {**source, "video": fit_positions(source["video"], old.video, spec.video)[0]}


def other_pixels(theirs: tuple, ours: tuple | None) -> tuple[str, ...]:
    """Return a note if two pairs of mean and deviation differ; no note if `ours` is None."""
    if ours is None:
        return ()
    theirs, ours = (tuple(map(tuple, of)) for of in (theirs, ours))
    if np.shape(theirs) == np.shape(ours) and np.allclose(theirs, ours, atol=1e-3):
        return ()
    return (f"trained on pixels normalised by mean and std {theirs}, whereas config.data has {ours}",)


def other_numerics(old: ClipSpec, new: ClipSpec) -> tuple[str, ...]:
    """Return a note for each differing setting that changes the outputs but no parameter's shape."""
    theirs, ours = old.differences(new), new.differences(old)
    return tuple(
        f"trained with {name} {theirs[name]}, whereas the model has {ours[name]}"
        for name in _NUMERICS
        if name in theirs
    )


def _describe(contents: Contents, begin: Any) -> Description:
    if isinstance(begin, ViViTSpec) and vivit_image.is_image_vit(contents.state, contents.config):
        layout = vivit_image.layout(begin)
    else:
        layout = recognise(contents.state.keys(), contents.config, contents.source)
    try:
        return layout.describe(contents.state, contents.config)
    except (WeightsError, ConfigError) as error:
        raise WeightsError(f"{contents.source} ({layout.name}): {error}") from error


def _as_published(description: Description, source: str) -> Description:
    """Fill in the spec's fields that a file leaves open, as published under its name or else with the usual values."""
    if not description.left_open:
        return description
    named = named_fields(description.family, source)
    fields = {name: named[name] for name in description.left_open if name in named}
    spec = dataclasses.replace(description.spec, **fields)
    notes = description.notes
    if "num_frames" in description.left_open:
        clips = f"{spec.num_frames} frames of {spec.frame_size[0]} pixels"
        unless = "" if named else " unless num_frames and image_size are given"
        notes += (f"the file does not say which clips it takes: {clips}, as published, are assumed{unless}",)
    return dataclasses.replace(description, spec=spec, notes=notes)


def _params(contents: Contents, description: Description) -> dict:
    @functools.cache
    def leaves() -> tuple[dict, set[str]]:
        """Return the leaves that the file must hold, and the paths of the other leaves."""
        wanted = flatten(description.shapes())
        new = {path for path in wanted if description.fresh and re.search(description.fresh, path)}
        return nest({path: leaf for path, leaf in wanted.items() if path not in new}), new

    try:
        found = read(description.rules, contents.state, lambda: leaves()[0], ignore=description.ignore)
    except WeightsError as error:
        raise WeightsError(f"{contents.source} does not hold a complete {description.family}: {error}") from error
    inputs = description.inputs or example_inputs(description.spec, pretraining=description.num_classes is None)
    return nest(flatten(found) | fresh(description.build(), inputs, leaves()[1]))


def _pixels(
    description: Description, preprocessor: Mapping | None
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[str, ...]]:
    """Return the mean and deviation of pixels in [0, 1], from preprocessor_config.json if there is one, and notes."""
    mean, std, said = description.mean, description.std, dict(preprocessor or {})
    if not mean or "image_mean" not in said or "image_std" not in said:
        return mean, std, ()
    if said.get("offset") and said.get("do_normalize", True):
        note = (
            f"preprocessor_config.json would normalise twice; the original's mean {mean} and deviation {std} are used"
        )
        return mean, std, (note,)
    scale = 255 * said.get("rescale_factor", 1 / 255) if said.get("do_rescale", True) else 255.0
    shift = 1.0 if said.get("offset") else 0.0
    normal = said.get("do_normalize", True)
    means, deviations = (said["image_mean"], said["image_std"]) if normal else (0.0, 1.0)
    found = (np.broadcast_to(means, 3) + shift) / scale, np.broadcast_to(deviations, 3) / scale
    mean, std = (tuple(float(f"{value:.7g}") for value in values) for values in found)
    return mean, std, ()


def _order(recipe: ClipRecipe | None) -> tuple[str, ...]:
    """Return a note for the user if the model's channels are not in RGB order."""
    if recipe is None or recipe.channels == "rgb":
        return ()
    return (
        f"its authors trained it on frames with channels in the order {recipe.channels.upper()}, and vidjax keeps that "
        f"order; fine-tune it with data.channels={recipe.channels}",
    )


def _from_run(path: Place) -> Pretrained:
    run = read_run.read_model(path)
    labels, notes = None, [f"checkpoint {run.step} of {path}{run.chosen}"]
    try:
        labels = run_files.read_labels(path)
    except DataError as damaged:
        notes.append(f"classes have no names, only numbers: {damaged}")
    return _of_run(run, path, labels, notes)


def _from_adapter(path: Place) -> Pretrained:
    run, labels = read_adapter(path, lambda base, spec: read_start(base, spec)[0])
    notes = [f"the adapter of step {run.step} in {path}, on {run.config.init_from or 'random weights'}"]
    return _of_run(run, path.parent if path.name == ARRAYS else path, labels, notes)


def _text_encoder(folder: Place, module: nn.Module) -> TextEncoder | None:
    """Load the vocabulary in a folder, if the model has a text tower."""
    return read_text_encoder(folder, module.spec.text) if isinstance(module, VideoTextModel) else None


def _of_run(run: read_run.RunModel, path: Place, labels: tuple[str, ...] | None, notes: list[str]) -> Pretrained:
    config, module, lora = run.config, run.module, run.config.model.lora
    if lora.rank:
        notes = [*notes, f"LoRA of rank {lora.rank} is merged into the weights"]
    return Pretrained(
        module=module,
        params=run.params,
        spec=module.spec.video if isinstance(module, VideoTextModel) else module.spec,
        family=family_of(config.model.name)[0],
        clip_recipe=clip_recipe(config),
        objective=run.objective,
        answer=TASKS.find(config.task).answer,
        labels=labels,
        notes=tuple(notes),
        source=os.fspath(path),
        config=config,
        text_encoder=_text_encoder(path, module),
    )


def _other_clips(
    model: Pretrained, spec: ClipSpec, num_frames: int | None, image_size: int | tuple[int, int] | None
) -> ClipRecipe | None:
    """Return the recipe for another clip size: a run keeps its own; public weights get the most similar model's."""
    recipe = model.clips
    if not isinstance(model.config, Config):
        usual = published_recipe(
            model.family, spec, model.num_classes, pixels=(recipe.mean, recipe.std), merge=recipe.merge
        )
        return usual and dataclasses.replace(usual, channels=recipe.channels)
    changes = {"num_frames": num_frames, "image_size": image_size}
    return dataclasses.replace(recipe, **{key: value for key, value in changes.items() if value is not None})


def _with_classes(model: Pretrained) -> Pretrained:
    """Give a model the objective and answer of a classifier, or of a backbone if it has no head."""
    answer = TASKS["classification"].answer if model.num_classes else None
    return dataclasses.replace(model, objective=_objective(model.module, model.clip_recipe), answer=answer)


def _objective(module: nn.Module, recipe: ClipRecipe | None, *, normalize_target: bool = True) -> Objective | None:
    """Return the objective of a classifier or of VideoMAE's pre-training module; None for any other model."""
    if recipe is None or isinstance(module, VJEPA2Pretraining | VideoTextModel):
        return None
    if isinstance(module, VideoMAEPretraining):
        return MaskedAutoencoding(module, "tube", 0.9, normalize_target, recipe.mean, recipe.std)
    return Classification(module, recipe.mean, recipe.std) if module.num_classes else None
