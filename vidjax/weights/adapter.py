"""Adapters: the parameters that LoRA trains, without the base model, in `adapter.safetensors` and `adapter.json`.

A run with LoRA writes both files when it ends. The first holds every trained array under its path in the run: the terms
A and B, and the head or, in a model with texts, the projections and perhaps the text tower. The second names the base,
and the base of a frozen text tower if that is another model. With these two files and the base, the run's folder is not
needed; a model with a text tower also needs the vocabulary, which the run keeps beside them.
"""

from __future__ import annotations

import os
import pathlib
import re
import zlib
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import numpy as np
import safetensors.numpy

from vidjax.config import Config, from_saved, to_saved
from vidjax.errors import ConfigError, ResumeError, WeightsError
from vidjax.files import Place, absolute, located, write_json, write_whole
from vidjax.models import lora
from vidjax.models.param_paths import flatten, join, nest, split
from vidjax.models.text_tower import TextTowerSpec
from vidjax.objectives import Objective
from vidjax.objectives.base import Part
from vidjax.objectives.contrastive import TEXT, VIDEO
from vidjax.weights import file_formats
from vidjax.weights.bucket_files import downloaded
from vidjax.weights.checkpoint_contents import read_json
from vidjax.weights.read_run import HEADS, RunModel, inference_objective, read_config, read_unmerged
from vidjax.weights.run_files import read_labels

ARRAYS = "adapter.safetensors"
ABOUT = "adapter.json"
# Norms that a base may lack: they keep their initial scale 1 and bias 0, and the head can learn to scale and shift.
FINAL_NORM = re.compile(rf"^({VIDEO}/)?(\w+/|fc_)?norm/")
_TYPES = {
    "base": str, "text_base": str, "base_checksum": str, "rank": int, "alpha": int | float, "targets": list,
    "step": int, "config": dict,
}  # fmt: skip


def save_adapter(workdir: Place, frozen: str) -> None:
    """Write a run's adapter into its folder, from the checkpoint that its eval.checkpoint selects.

    Args:
      frozen: pattern of the parameters that the run's objective does not train.
    """
    config = read_config(workdir)
    step, params = read_unmerged(workdir, config.eval.checkpoint, ema=True)
    trained, base = split(params, frozen)
    targets = sorted({path.rpartition("/")[0] for path in flatten(trained[lora.LORA])})
    arrays = {path: np.asarray(array, order="C") for path, array in flatten(trained).items()}
    write_whole(workdir / ARRAYS, safetensors.numpy.save(arrays))
    about = {
        "base": _found_again(config.init_from),
        "text_base": _found_again(config.contrastive.text_from),
        "base_checksum": _checksum(base, targets),
        "rank": config.model.lora.rank,
        "alpha": config.model.lora.alpha,
        "targets": targets,
        "step": step,
        "labels": read_labels(workdir),
        "config": to_saved(config),
    }
    write_json(workdir / ABOUT, about)


def is_adapter(path: Place) -> bool:
    """Return whether a path is an adapter's array file, or a folder that holds one."""
    return (path if path.name == ARRAYS else path / ARRAYS).is_file()


def read_adapter(path: Place, start: Callable[[str, Any], Mapping]) -> tuple[RunModel, tuple[str, ...] | None]:
    """Read an adapter and its base, and merge them.

    Args:
      path: as for `is_adapter`.
      start: takes a base, as in `config.init_from`, and the spec of a model, and returns the base's parameters for it.

    Returns:
      the model, and its class names, if there are any.

    Raises:
      WeightsError: if a file is missing or damaged, the base is gone or was changed, or the files and the base
        do not fit together.
    """
    folder = downloaded(path.parent if path.name == ARRAYS else path)
    about, config = _read_about(folder / ABOUT)
    arrays = dict(flatten(file_formats.read_arrays(folder / ARRAYS)))
    num_classes = next((len(arrays[f"{head}/bias"]) for head in HEADS if f"{head}/bias" in arrays), 0)
    try:
        objective = inference_objective(config, num_classes)
    except ConfigError as error:
        raise WeightsError(f"{folder / ABOUT} cannot be read by this version of vidjax: {error}") from error
    shapes = jax.eval_shape(lambda: objective.init(jax.random.key(0), {})[0])
    trained, held = split(shapes, objective.frozen)
    _check_arrays(arrays, flatten(trained) | _terms(folder, held, about), folder)
    taken, wanted = {}, flatten(held)
    for part in objective.parts:
        taken |= _from_base(part, wanted, about, folder, start)
    base = nest(taken | _drawn(objective, config.seed, wanted.keys() - taken.keys()))
    if _checksum(base, about["targets"]) != about["base_checksum"]:
        bases = {key: about[key] for key in ("base", "text_base") if about[key]}
        raise WeightsError(
            f"{folder / ARRAYS} was trained on weights other than those now in "
            f"{' and '.join(bases.values()) or 'a random initialisation on this platform'}; set "
            f"{' and '.join(f'`{key}`' for key in bases or ('base',))} in {ABOUT} to what the adapter was trained on"
        )
    params = lora.merge(join(nest(arrays), base), about["alpha"])
    return RunModel(config, objective, objective.module, params, about["step"], ""), _labels(about)


def _found_again(source: str) -> str:
    """Return a source's name that is valid in any working directory: a hub id, or the full path."""
    local = located(os.path.expanduser(source))
    return os.fspath(absolute(local)) if source and local.exists() else source


def _checksum(base: Mapping, targets: list[str]) -> str:
    """Return a checksum of the adapted kernels and a frozen text tower's, whatever the clip size and the head."""
    flat, found = flatten(base), lora.projections(base)
    texts = {path for path in flat if path.startswith(f"{TEXT}/") and path.endswith("/kernel")}
    crc = 0
    for kernel in sorted({found[name].kernel for name in targets} | texts):
        crc = zlib.crc32(np.ascontiguousarray(flat[kernel], np.float32).tobytes(), zlib.crc32(kernel.encode(), crc))
    return f"{crc:08x}"


def _read_about(path: pathlib.Path) -> tuple[dict, Config]:
    about = read_json(path)
    if about is None:
        raise WeightsError(f"{path}, which names the base of {ARRAYS}, is missing; copy it from the run too")
    about = {"text_base": ""} | about
    for name, kind in _TYPES.items():
        if not isinstance(about.get(name), kind):
            raise WeightsError(f"{path} is not as vidjax writes it: {name!r} is {about.get(name, 'missing')}")
    try:
        return about, from_saved(about["config"])
    except ConfigError as error:
        raise WeightsError(f"{path} cannot be read by this version of vidjax: {error}") from error


def _terms(folder: pathlib.Path, held: Mapping, about: Mapping) -> dict[str, Any]:
    """Return the shapes of A and B for the projections that adapter.json lists, by path."""
    found, rank, terms = lora.projections(held), about["rank"], {}
    for name in about["targets"]:
        if name not in found:
            raise WeightsError(f"{folder / ABOUT} adapts {name}, which its model does not have")
        of = found[name]
        terms[f"{lora.LORA}/{name}/A"] = jax.ShapeDtypeStruct((*of.layers, of.inputs, rank), np.float32)
        terms[f"{lora.LORA}/{name}/B"] = jax.ShapeDtypeStruct((*of.layers, rank, of.outputs), np.float32)
    return terms


def _check_arrays(arrays: Mapping, wanted: Mapping, folder: pathlib.Path) -> None:
    there, here = ({path: tuple(leaf.shape) for path, leaf in of.items()} for of in (arrays, wanted))
    for path in sorted(there.keys() | here.keys()):
        if there.get(path) != here.get(path):
            raise WeightsError(
                f"{folder / ARRAYS} does not fit {ABOUT}: {path} is {there.get(path, 'missing')} in the file and "
                f"{here.get(path, 'missing')} in the model"
            )


def _from_base(
    part: Part, wanted: Mapping[str, Any], about: Mapping, folder: pathlib.Path, start: Callable[[str, Any], Mapping]
) -> dict[str, Any]:
    """Return a part's frozen parameters that its base holds, by path; none if the part started from random weights.

    Raises:
      WeightsError: if the base cannot be read, or lacks a frozen parameter other than a final norm's.
    """
    prefix = f"{part.name}/" if part.name else ""
    of_part = {path: leaf for path, leaf in wanted.items() if path.startswith(prefix)}
    key = "text_base" if isinstance(part.spec, TextTowerSpec) and about["text_base"] else "base"
    if not (of_part and about[key]):
        return {}
    try:
        found = start(about[key], part.spec)
    except (ResumeError, WeightsError) as error:
        raise WeightsError(f"the base of {folder / ARRAYS} cannot be read: {error}") from error
    flat = flatten(found, prefix)
    fitting = {path for path, leaf in of_part.items() if path in flat and flat[path].shape == leaf.shape}
    for path in sorted(of_part.keys() - fitting):
        if not FINAL_NORM.search(path):
            there = f"of shape {flat[path].shape}" if path in flat else "missing"
            raise WeightsError(
                f"{folder / ARRAYS} does not fit its base {about[key]}: {path} is {there} in the base, "
                f"and {of_part[path].shape} in the adapted model; set `{key}` in {ABOUT} to the model that the adapter "
                "was trained on"
            )
    return {path: flat[path] for path in fitting}


def _drawn(objective: Objective, seed: int, paths: Collection[str]) -> dict[str, Any]:
    """Compute some initial parameters of a run, by path: those that no base holds, so the run drew them."""

    def init(key):
        leaves = flatten(objective.init(key, {})[0])
        return {path: leaves[path] for path in paths}

    return jax.device_get(jax.jit(init)(jax.random.key(seed))) if paths else {}


def _labels(about: Mapping) -> tuple[str, ...] | None:
    return tuple(map(str, about["labels"])) if about.get("labels") else None
