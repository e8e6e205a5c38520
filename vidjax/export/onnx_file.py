"""A model as an ONNX file, for ONNX Runtime and what else reads it, written by jax2onnx.

jax2onnx replaces functions of JAX and Flax while it traces, which Flax's scans do not bear; so a model is staged as a
jaxpr first, of plain operations alone, and that is converted.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import jax
import jax.export
import jax.extend
import jax.numpy as jnp

from vidjax.errors import ConfigError, UserError, WeightsError
from vidjax.export.folders import whole_folder
from vidjax.export.graph import Graph
from vidjax.ops import platforms
from vidjax.weights import Pretrained, preprocessing

NAME = "model.onnx"
_OPSET = 21  # ONNX Runtime 1.20 and later


def write(model: Pretrained, folder: str | os.PathLike) -> None:
    """Write model.onnx, with model.onnx.data beside it where weights are many, and preprocessing.json.

    The input is `clips`, uint8 RGB (b t h w c) of any b; outputs are those of `vidjax.export.graph.Graph`.

    Args:
      folder: new or empty.

    Raises:
      ConfigError: without jax2onnx.
      WeightsError: for a model that gives neither classes nor numbers, or that jax2onnx cannot convert.
      DataError: when the folder cannot be written.
    """
    try:
        import jax2onnx
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--format=onnx needs {error.name}; pip install 'vidjax[onnx]' and then pip install --no-deps jax2onnx, "
            "which asks for an older orbax-checkpoint than vidjax, and for more that it does not use here"
        ) from error
    if hasattr(model.spec, "scan"):
        raise WeightsError(
            f"this {model.family} cannot be an ONNX file: half of its scans run from the last token to the first, "
            "which jax2onnx does not convert; --format=stablehlo takes it"
        )
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # it warns of each shape that it leaves to ONNX Runtime
    graph = Graph.of(model, attention="xla")
    (batch,) = jax.export.symbolic_shape("batch")
    clips = jax.ShapeDtypeStruct((batch, *graph.clip_shape), jnp.uint8)
    try:
        staged = _stage(graph, clips)
        with whole_folder(folder) as draft:
            jax2onnx.to_onnx(
                staged, [clips], model_name=model.family, opset=_OPSET, return_mode="file",
                output_path=draft / NAME, input_names=["clips"], output_names=list(graph.outputs),
            )  # fmt: skip
            preprocessing.write(draft, model)
    except UserError:
        raise
    except Exception as error:  # a converter's, of whatever kind
        [reason, *_] = str(error).splitlines() or [repr(error)]
        raise WeightsError(f"jax2onnx cannot convert this {model.family}: {reason}") from error


def _stage(graph: Graph, clips: jax.ShapeDtypeStruct) -> Any:
    """A function that evaluates the graph's operations one by one, with its weights as constants."""
    with platforms.restricted_to():
        program = jax.make_jaxpr(lambda clips: tuple(graph.call(graph.weights, clips).values()))(clips)
    return jax.extend.core.jaxpr_as_fun(program)
