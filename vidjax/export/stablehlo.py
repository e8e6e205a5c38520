"""Write a model as a StableHLO program: one `jax.export` file for CPUs, NVIDIA GPUs and TPUs, and its weights.

JAX guarantees that newer versions read such files for six months, and older versions for three weeks
(https://docs.jax.dev/en/latest/export/export.html#compatibility-guarantees).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp

from vidjax.errors import UserError, WeightsError
from vidjax.export import load
from vidjax.export.folders import whole_folder
from vidjax.export.graph import Graph
from vidjax.ops import platforms
from vidjax.weights import Pretrained, preprocessing
from vidjax.weights.file_formats import write_safetensors

PLATFORMS = ("cpu", "cuda", "tpu")
GRAPH, WEIGHTS = "model.jaxexport", "weights.safetensors"  # as load.py names them


def write(model: Pretrained, folder: str | os.PathLike) -> None:
    """Write model.jaxexport, weights.safetensors, preprocessing.json and load.py atomically.

    The program takes the weights and uint8 RGB clips (b t h w c) of any b, with the model's frame count and size, and
    returns `probabilities` and `logits`, each (b classes), or `values`.

    Args:
      folder: new or empty.

    Raises:
      ConfigError: when the folder is in a bucket.
      WeightsError: for a model that predicts neither classes nor numbers, or that cannot be traced.
      DataError: when the folder cannot be written.
    """
    graph = Graph.of(model)
    program = trace(graph, model.source).serialize()
    with whole_folder(folder) as draft:
        (draft / GRAPH).write_bytes(program)
        write_safetensors(draft / WEIGHTS, graph.weights)
        preprocessing.write(draft, model)
        shutil.copyfile(Path(load.__file__), draft / "load.py")


def trace(graph: Graph, source: str) -> jax.export.Exported:
    """Export a graph for any batch size and all `PLATFORMS`.

    Args:
      source: where the model came from, for the error message.

    Raises:
      WeightsError: when it cannot be traced.
    """
    (batch,) = jax.export.symbolic_shape("batch")
    clips = jax.ShapeDtypeStruct((batch, *graph.clip_shape), jnp.uint8)
    weights = {path: jax.ShapeDtypeStruct(array.shape, array.dtype) for path, array in graph.weights.items()}
    try:
        with platforms.restricted_to("cpu"):  # CPU implementations are plain JAX; those for TPUs are kernels
            return jax.export.export(jax.jit(graph.call), platforms=PLATFORMS)(weights, clips)
    except UserError:
        raise
    except Exception as error:  # third-party modules may fail in any way on a symbolic batch
        [reason, *_] = str(error).splitlines() or [repr(error)]
        raise WeightsError(f"{source} cannot be traced for a symbolic batch and all platforms: {reason}") from error
