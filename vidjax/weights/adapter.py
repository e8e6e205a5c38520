"""Adapters: the parameters that LoRA trains, without the base model, in `adapter.safetensors` and `adapter.json`.

A run with LoRA writes both files when it ends. The first holds the head and the terms A and B by their paths in the
run, the second names the base. With these two files and the base model, the run's folder is not needed.
"""

from __future__ import annotations

import os
import pathlib
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import safetensors.numpy

from vidjax.config import Config, from_saved, to_saved
from vidjax.errors import ConfigError, ResumeError, WeightsError
from vidjax.files import Place, absolute, located, write_json, write_whole
from vidjax.models import lora
from vidjax.models.param_paths import flatten, join, nest, split
from vidjax.objectives.supervised import BACKBONE
from vidjax.weights import file_formats
from vidjax.weights.adapt import fresh
from vidjax.weights.bucket_files import downloaded
from vidjax.weights.checkpoint_contents import read_json
from vidjax.weights.checkpoint_layouts import example_inputs
from vidjax.weights.read_run import HEADS, RunModel, inference_objective, read_config, read_unmerged
from vidjax.weights.run_files import read_labels

ARRAYS = "adapter.safetensors"
ABOUT = "adapter.json"
# Parameters that a base may lack: the head can learn their scale and bias, which start as 1 and 0.
FINAL_NORM = re.compile(r"^(\w+/|fc_)?norm/")
_TYPES = {
    "base": str, "base_checksum": str, "rank": int, "alpha": int | float, "targets": list, "step": int,
    "config": dict,
}  # fmt: skip


def save_adapter(workdir: Place) -> None:
    """Write the adapter of a run into its folder, from the checkpoint that its eval.checkpoint names."""
    config = read_config(workdir)
    step, params = read_unmerged(workdir, config.eval.checkpoint, ema=True)
    trained, base = split(params, BACKBONE)
    targets = sorted({path.rpartition("/")[0] for path in flatten(trained[lora.LORA])})
    arrays = {path: np.ascontiguousarray(array) for path, array in flatten(trained).items()}
    write_whole(workdir / ARRAYS, safetensors.numpy.save(arrays))
    about = {
        "base": _found_again(config.init_from),
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
      start: reads the parameters of a base, given as in `config.init_from`, for a model of a given spec.

    Returns:
      the model, and its class names, if there are any.

    Raises:
      WeightsError: if a file is missing or damaged, the base is gone or was changed, or the three do not fit.
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
    trained, held = split(shapes, BACKBONE)
    _check_arrays(arrays, flatten(trained) | _terms(folder, held, about), folder)
    if about["base"]:
        try:
            found = start(about["base"], objective.module.spec)
        except (ResumeError, WeightsError) as error:
            raise WeightsError(f"the base of {folder / ARRAYS} cannot be read: {error}") from error
        base = _base(found, objective.module, held, f"{folder / ARRAYS} does not fit its base {about['base']}")
    else:  # the run started from random weights
        base = split(jax.device_get(objective.init(jax.random.key(config.seed), {})[0]), BACKBONE)[1]
    if _checksum(base, about["targets"]) != about["base_checksum"]:
        raise WeightsError(
            f"{folder / ARRAYS} was trained on other weights than those now in "
            f"{about['base'] or 'a random initialisation on this platform'}; name the model it was trained on as "
            f"`base` in {ABOUT}"
        )
    params = lora.merge(join(nest(arrays), base), about["alpha"])
    return RunModel(config, objective, objective.module, params, about["step"], ""), _labels(about)


def _found_again(source: str) -> str:
    """Return a source's name that is valid in any working directory: a hub id, or the full path."""
    local = located(os.path.expanduser(source))
    return os.fspath(absolute(local)) if source and local.exists() else source


def _checksum(base: Mapping, targets: list[str]) -> str:
    """Return a checksum of the adapted kernels, which does not depend on the clip size or the head."""
    flat, found = flatten(base), lora.projections(base)
    crc = 0
    for kernel in sorted({found[name].kernel for name in targets}):
        crc = zlib.crc32(np.ascontiguousarray(flat[kernel], np.float32).tobytes(), zlib.crc32(kernel.encode(), crc))
    return f"{crc:08x}"


def _read_about(path: pathlib.Path) -> tuple[dict, Config]:
    about = read_json(path)
    if about is None:
        raise WeightsError(f"{path}, which names the base of {ARRAYS}, is missing; copy it from the run too")
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
                f"{folder / ARRAYS} does not fit {ABOUT}: {path} is {there.get(path, 'missing')} there and "
                f"{here.get(path, 'missing')} in the model"
            )


def _base(found: Mapping, module: Any, held: Mapping, complaint: str) -> dict:
    """The frozen parameters of the adapted model, from those of its base."""
    flat, wanted = flatten(found), flatten(held)
    fitting = {path for path, leaf in wanted.items() if path in flat and flat[path].shape == leaf.shape}
    new = wanted.keys() - fitting
    for path in sorted(new):
        if not FINAL_NORM.search(path):
            there = f"of shape {flat[path].shape}" if path in flat else "missing"
            raise WeightsError(
                f"{complaint}: {path} is {there} there, and {wanted[path].shape} in the adapted model; name the model "
                f"it was trained on as `base` in {ABOUT}"
            )
    inputs = example_inputs(module.spec, pretraining=False)
    return nest({path: flat[path] for path in fitting} | fresh(module, inputs, new))


def _labels(about: Mapping) -> tuple[str, ...] | None:
    return tuple(map(str, about["labels"])) if about.get("labels") else None
