"""Run `mode=probe`: compute the features of each backbone once, and fit every probe on them."""

from __future__ import annotations

import dataclasses
import os

import jax
from jax.experimental import multihost_utils

from vidjax.config import Config, DataConfig, to_saved
from vidjax.data.open import open_source
from vidjax.errors import ConfigError
from vidjax.evaluation.features.extraction import feature_shapes
from vidjax.evaluation.features.reductions import arrays_of
from vidjax.evaluation.features.store import FeatureStore
from vidjax.evaluation.features.writer import Split, Storage, write_features
from vidjax.evaluation.probes.fit_and_report import print_table, probe_features
from vidjax.evaluation.probes.table import short_names
from vidjax.files import Place, located, write_json
from vidjax.progress import progress
from vidjax.tasks import TASKS
from vidjax.training.compile_cache import use_compile_cache
from vidjax.training.config_checks import check_config
from vidjax.training.telemetry import say
from vidjax.weights.backbones import RANDOM, load_backbone
from vidjax.weights.model import Pretrained

FEATURES = "features"


def probe(config: Config, workdir: str | os.PathLike) -> dict:
    """Embed both splits with every backbone, fit all probes and write the table; stored features are not recomputed.

    Features are stored in `workdir` as features/<backbone>/<split>/. The results are in `workdir` too; see
    `vidjax.evaluation.probes.fit_and_report`.

    Returns:
      The flat results on the first process; an empty dict on the others.

    Raises:
      UserError: for anything the user can fix; see `vidjax.errors`.
    """
    check_config(config)
    use_compile_cache(config.train.compile_cache)
    workdir, splits = located(workdir), (config.data.train_split, config.data.eval_split)
    names = short_names(config.probe.backbones)
    for name, source in zip(names, config.probe.backbones, strict=True):
        backbone = open_backbone(source, config.data)
        arrays = arrays_of(config.probe, tuple(feature_shapes(backbone)))
        if not arrays:
            raise ConfigError(f"{source} has none of the features that config.probe.reductions names; choose others")
        for split in splits:
            embed(backbone, config, split, workdir / FEATURES / name / split, arrays)
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("features")
    if jax.process_index() > 0:
        return {}
    stores = {name: [FeatureStore.open(workdir / FEATURES / name / split) for split in splits] for name in names}
    pairs = {name: (train, test) for name, (train, test) in stores.items()}
    write_json(workdir / "config.json", to_saved(config))
    found = probe_features(pairs, TASKS.find(config.task).annotation, config, workdir, say)
    print_table(*found.table)
    say(f"report: {found.report}")
    return found.results


def open_backbone(source: str, data: DataConfig) -> Pretrained:
    """Load a backbone with its own clip recipe, but with the sampling and the time span of the clips of `data`.

    A backbone with random weights takes clips of the size given in `data`.

    Raises:
      WeightsError: for a model that takes no clips.
    """
    sizes = {"num_frames": data.num_frames, "image_size": data.image_size} if source.startswith(RANDOM) else {}
    backbone = load_backbone(source, **sizes)
    for note in backbone.notes:
        say(f"note: {note}")
    recipe = backbone.clips
    stride = max(1, round(data.num_frames * data.stride / recipe.num_frames))
    fps = data.fps * recipe.num_frames / data.num_frames
    recipe = dataclasses.replace(recipe, stride=stride, fps=fps, sampling=data.sampling)
    return dataclasses.replace(backbone, clip_recipe=recipe)


def embed(backbone: Pretrained, config: Config, split: str, folder: Place, arrays: tuple[str, ...]) -> None:
    """Compute the features that a store lacks, with a progress bar, and print how many rows were new."""
    data = backbone.clips.sample(config.data)
    source = open_source(data, split, TASKS.find(config.task).annotation)
    with progress(f"embedding {split}", len(source), visible=jax.process_index() == 0) as advance:
        written = write_features(
            backbone, Split(source, data, split), Storage(folder, arrays, config.probe.dtype),
            batch=config.eval.batch, on_row=advance,
        )  # fmt: skip
    say(f"{folder}: {written.computed} of {len(source)} rows are new")
