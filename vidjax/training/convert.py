"""Foreign weights as the folder of a run: what `from_pretrained` reads, and `init_from` and evaluation start from."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np

from vidjax.config import Config, DataConfig, EvalConfig, ModelConfig
from vidjax.errors import WeightsError
from vidjax.models import FAMILIES, ClipSpec
from vidjax.tasks._modules import FAMILY_OPTIONS
from vidjax.training.checkpoints import Checkpoints
from vidjax.training.state import TrainState
from vidjax.weights import Pretrained
from vidjax.weights.runs import LABELS, SPEC


def save_as_run(
    model: Pretrained, folder: str | os.PathLike, *, stride: int, sampling: str, normalize_target: bool = True
) -> Config:
    """Write a model as a run that has not trained yet: configuration, exact spec, class names and checkpoint 0.

    Args:
      model: of a family that takes clips.
      folder: made if need be.
      stride, sampling, normalize_target: what its config.json should say of the clips and the target.

    Returns:
      the configuration. Its `model.name` is the preset of the most similar size; where the sizes are no preset's, only
      `spec.json` beside it says them.

    Raises:
      WeightsError: for a model that takes no clips.
    """
    if model.family not in FAMILIES:
        raise WeightsError(f"{model.source} holds a {model.family}, which takes no clips and makes no run")
    config = Config(
        task="masked_autoencoding" if model.num_classes is None else "classification",
        model=_model_config(model.family, model.spec, normalize_target),
        data=DataConfig(
            num_frames=model.spec.num_frames, image_size=model.spec.frame_size[0], stride=stride, sampling=sampling,
            num_classes=model.num_classes or 0, mean=model.mean, std=model.std,
        ),
        eval=EvalConfig(merge=model.merge),
    )  # fmt: skip
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoints = Checkpoints(folder)
    meta = {"fingerprint": {"same": {"task": f"weights converted from {model.source}"}, "noted": {}}}
    checkpoints.save(0, TrainState(np.int32(0), model.params, {}, {}, {}), meta)
    checkpoints.close()
    _write_json(folder / "config.json", dataclasses.asdict(config))
    _write_json(folder / SPEC, dataclasses.asdict(model.spec))
    if model.labels:
        _write_json(folder / LABELS, model.labels)
    return config


def _model_config(family: str, spec: ClipSpec, normalize_target: bool) -> ModelConfig:
    """The most similar preset, and the options that the configuration can say in which the spec differs from it."""
    presets = FAMILIES[family].specs

    def differences(size: str) -> int:
        there = dataclasses.asdict(presets[size])
        return sum(there[name] != value for name, value in dataclasses.asdict(spec).items())

    size = min(presets, key=differences)
    options = {
        name: getattr(spec, name)
        for name in FAMILY_OPTIONS
        if hasattr(spec, name) and getattr(spec, name) != getattr(presets[size], name)
    }
    if getattr(spec, "factorization", "encoder") != "encoder":
        options.pop("temporal_depth", None)  # has no effect there, and a configuration that sets it is refused
    return ModelConfig(name=f"{family}_{size}", normalize_target=normalize_target, dtype="float32", **options)


def _write_json(path: Path, tree) -> None:
    path.write_text(json.dumps(tree, indent=1) + "\n")
