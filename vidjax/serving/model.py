"""Load the model of a server: an exported StableHLO folder, or any other source, compiled for this machine."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np
from jaxtyping import Array, Float, UInt8

import vidjax
from vidjax.errors import WeightsError
from vidjax.evaluation.predict import ActionPredictor, Predictor
from vidjax.export import load, stablehlo
from vidjax.export.graph import Graph
from vidjax.weights import preprocessing
from vidjax.weights.preprocessing import Preprocessing


@dataclasses.dataclass(frozen=True)
class ServedModel:
    """A graph with its weights on the device, and a description of its clips and outputs.

    Attributes:
      name: base name of the folder or file.
      about: the description of clips and outputs.
      call: (weights, clips) -> the outputs by name.
      weights: the weights, on the device.
    """

    name: str
    about: Preprocessing
    call: Any
    weights: Any

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """The shape (t, h, w, c) of input clips."""
        return (self.about.recipe.num_frames, *self.about.recipe.frame_size, 3)

    def scores(self, params: Any, clips: UInt8[Array, "b t h w c"]) -> Float[Array, "b classes"]:
        """Return the logits, or the values of a regression; `params` are the weights."""
        return self.call(params, clips)["values" if self.about.kind == "values" else "logits"]

    @functools.cached_property
    def compiled(self) -> Callable[[UInt8[np.ndarray, "b t h w c"]], Float[np.ndarray, "b classes"]]:
        """`scores` for clips on the host, compiled once per batch size."""
        scores = jax.jit(self.scores)
        return lambda clips: np.asarray(scores(self.weights, clips))

    def predictor(self) -> Predictor:
        """Return a predictor for videos."""
        about = self.about
        arguments = (self, self.weights, about.recipe)
        options = {"activation": about.activation, "labels": about.labels}
        if about.kind == "actions":
            return ActionPredictor(about.nouns, *arguments, **options)
        return Predictor(*arguments, **options)


def open_model(source: str) -> ServedModel:
    """Open a folder written by `vidjax export --format=stablehlo`, or any source that `vidjax.from_pretrained` accepts.

    Raises:
      WeightsError: when it is neither, is damaged or for other platforms, or predicts neither classes nor numbers.
    """
    name = os.path.basename(os.path.normpath(source))
    if (Path(source) / stablehlo.GRAPH).is_file():
        return _from_folder(Path(source), name)
    model = vidjax.from_pretrained(source)
    graph = Graph.of(model)
    return _served(name, preprocessing.parse(preprocessing.describe(model), source), graph.call, graph.weights)


def _from_folder(folder: Path, name: str) -> ServedModel:
    about = preprocessing.read(folder)
    try:
        graph = jax.export.deserialize(bytearray((folder / stablehlo.GRAPH).read_bytes()))
        weights = load.read_weights(folder / stablehlo.WEIGHTS)
    except Exception as error:  # damaged files raise errors of many types, from flatbuffers, MLIR or the header
        raise WeightsError(
            f"{folder} is damaged or needs another version of jax: {error}; export the model again"
        ) from error
    platform = jax.default_backend().replace("gpu", "cuda")
    if platform not in graph.platforms:
        raise WeightsError(
            f"{folder} was exported for {', '.join(graph.platforms)}, but jax runs on {platform} here; "
            "set JAX_PLATFORMS=cpu"
        )
    return _served(name, about, graph.call, weights)


def _served(name: str, about: Preprocessing, call: Any, weights: dict[str, np.ndarray]) -> ServedModel:
    """Build the served model with RGB clips; the graph swaps channels itself where needed."""
    recipe = dataclasses.replace(about.recipe, channels="rgb")
    return ServedModel(name, dataclasses.replace(about, recipe=recipe), call, jax.device_put(weights))
