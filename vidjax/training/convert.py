"""Save foreign weights as a run's folder, which `from_pretrained`, `init_from` and evaluation can read."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import cast

import jax.numpy as jnp

from vidjax.config import Config, DataConfig, EvalConfig, ModelConfig, to_saved
from vidjax.config.sections.evaluation import ViewMerge
from vidjax.errors import WeightsError
from vidjax.evaluation.merge_views import rule_with
from vidjax.files import write_json
from vidjax.models import FAMILIES, ClipSpec
from vidjax.models.spec_keys import SET_BY
from vidjax.models.vjepa2 import VJEPA2Pretraining
from vidjax.objectives import MaskedAutoencoding
from vidjax.registry import is_outside
from vidjax.training.checkpoints import Checkpoints
from vidjax.training.state import TrainState
from vidjax.weights import Pretrained
from vidjax.weights.adapt import adapt
from vidjax.weights.run_files import LABELS


def save_as_run(model: Pretrained, folder: str | os.PathLike) -> Config:
    """Write a model as a run that has not trained yet: configuration, class names and checkpoint 0.

    Args:
      model: a model that takes clips.
      folder: created if it does not exist.

    Returns:
      The configuration. Its `model.name` is the most similar preset, and `model.spec` lists the fields that differ.
      The feature predictor of V-JEPA 2 is left out: the run holds only the encoder.

    Raises:
      WeightsError: for a model that takes no clips, or takes frames that are not square.
      DataError: when the checkpoint or a file cannot be written.
    """
    recipe, objective = model.clip_recipe, model.objective
    if recipe is None:
        raise WeightsError(f"{model.source} holds a {model.family}, which takes no clips and cannot become a run")
    if isinstance(model.module, VJEPA2Pretraining):
        module, params, _ = adapt(model.family, model.module, model.params, num_classes=0)
        model = dataclasses.replace(model, module=module, params=params)
    height, width = recipe.frame_size
    if height != width:
        raise WeightsError(f"{model.source} takes frames of {height}x{width}; a run needs square frames")
    merge = rule_with(recipe.merge, "softmax")  # a configuration names the softmax variant of a rule for every task
    normalize_target = objective.normalize_target if isinstance(objective, MaskedAutoencoding) else True
    config = Config(
        task="masked_autoencoding" if model.num_classes is None else "classification",
        model=_model_config(model.family, model.spec, normalize_target),
        data=DataConfig(
            num_frames=recipe.num_frames, image_size=height, interpolation=recipe.interpolation,
            stride=recipe.stride, fps=recipe.fps, sampling=recipe.sampling, num_classes=model.num_classes or 0,
            channels=recipe.channels, mean=recipe.mean, std=recipe.std,
        ),
        eval=EvalConfig(clips=recipe.clips, crops=recipe.crops, merge=cast(ViewMerge, merge)),
    )  # fmt: skip
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoints = Checkpoints(folder)
    meta = {"fingerprint": {"same": {"task": f"weights converted from {model.source}"}, "noted": {}}}
    checkpoints.save(0, TrainState(jnp.int32(0), model.params, {}, {}, {}), meta)
    checkpoints.close()
    write_json(folder / "config.json", to_saved(config))
    if model.labels:
        write_json(folder / LABELS, model.labels)
    return config


def _model_config(family: str, spec: ClipSpec, normalize_target: bool) -> ModelConfig:
    """The most similar preset, and the fields of the spec in which it differs."""
    presets = FAMILIES.find(family).specs
    size = min(presets, key=lambda size: len(spec.differences(presets[size])))
    fields = {name: value for name, value in spec.differences(presets[size]).items() if name not in SET_BY}
    name = f"{family}.{size}" if is_outside(family) else f"{family}_{size}"
    return ModelConfig(name=name, spec=fields, normalize_target=normalize_target, dtype="float32")
