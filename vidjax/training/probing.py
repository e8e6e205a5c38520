"""Run `mode=probe`: compute the features of each backbone once, and fit every probe on them.

Attentive probes, which read all tokens, are trained on the videos instead; see `attentive_runs`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import jax
from jax.experimental import multihost_utils

from vidjax.config import Config, DataConfig, to_saved, with_keys
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
from vidjax.training import loop
from vidjax.training.attentive_runs import COLUMNS, attentive_probes, flat_results, row, run_config
from vidjax.training.compile_cache import use_compile_cache
from vidjax.training.config_checks import check_config
from vidjax.training.telemetry import say
from vidjax.viz.document import PAGE
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
    workdir = located(workdir)
    sources = dict(zip(short_names(config.probe.backbones), config.probe.backbones, strict=True))
    attentive = attentive_probes(config)
    stored = tuple(name for name in config.probe.probes if name not in attentive)
    results: dict[str, Any] = {}
    if stored:
        results = _probe_stored(with_keys(config, {"probe.probes": stored}), sources, workdir)
    rows = []
    for name, source in sources.items() if attentive else ():
        backbone = open_backbone(source, config.data)
        runs = {probe: run_config(config, backbone, probe) for probe in attentive}
        del backbone  # the run reads its parameters again, and large ones would be held twice
        for probe, own in runs.items():
            found = loop.train(own, workdir / probe / name)
            results |= flat_results(name, probe, found)
            rows.append(row(name, probe, found))
            say(f"report: {workdir / probe / name / PAGE}")
    if jax.process_index() > 0:
        return {}
    write_json(workdir / "config.json", to_saved(config))
    write_json(workdir / "results.json", results)
    if rows:
        print_table(COLUMNS, rows)
    return results


def _probe_stored(config: Config, sources: Mapping[str, str], workdir: Place) -> dict[str, Any]:
    """Store the features of both splits, and fit all probes to them; return the results on the first process."""
    splits = (config.data.train_split, config.data.eval_split)
    for name, source in sources.items():
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
    stores = {name: [FeatureStore.open(workdir / FEATURES / name / split) for split in splits] for name in sources}
    pairs = {name: (train, test) for name, (train, test) in stores.items()}
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
