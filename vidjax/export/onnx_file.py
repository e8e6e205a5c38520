"""Write a model as an ONNX file with jax2onnx, for ONNX Runtime and other readers.

jax2onnx patches JAX and Flax functions while it traces, which breaks Flax's scans. The model is therefore staged as a
jaxpr of plain operations first, and the jaxpr is converted.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Generator, Sequence
from typing import Any

import jax
import jax.export
import jax.extend
import jax.numpy as jnp
from jaxtyping import Array

from vidjax.errors import ConfigError, UserError, WeightsError
from vidjax.export.folders import whole_folder
from vidjax.export.graph import Graph
from vidjax.ops import platforms
from vidjax.weights import Pretrained, preprocessing

NAME = "model.onnx"
_OPSET = 21  # ONNX Runtime 1.20 and later
# These loggers warn about each shape left to ONNX Runtime and, with tracebacks, about packages not needed here.
_NOISY = ("onnx_ir", "jax2onnx.plugins.plugin_system")


def write(model: Pretrained, folder: str | os.PathLike) -> None:
    """Write model.onnx, with model.onnx.data beside it for large weights, and preprocessing.json.

    The input is `clips`, uint8 RGB (b t h w c) of any b; the outputs are those of `vidjax.export.graph.Graph`.

    Args:
      folder: new or empty.

    Raises:
      ConfigError: when jax2onnx is not installed, or the folder is in a bucket.
      WeightsError: for a model that predicts neither classes nor numbers, or that jax2onnx cannot convert.
      DataError: when the folder cannot be written.
    """
    try:
        import jax2onnx
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--format=onnx needs {error.name}; pip install 'vidjax[onnx]', then pip install --no-deps jax2onnx "
            "(jax2onnx also requires packages that are not needed here, and an older orbax-checkpoint than vidjax)"
        ) from error
    if hasattr(model.spec, "scan"):
        raise WeightsError(
            f"this {model.family} cannot be written as ONNX: half of its scans run from the last token to the first, "
            "which jax2onnx does not convert; use --format=stablehlo"
        )
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.ERROR)
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
    except Exception as error:  # the converter raises errors of many types
        [reason, *_] = str(error).splitlines() or [repr(error)]
        raise WeightsError(f"jax2onnx cannot convert this {model.family}: {reason}") from error


def _stage(graph: Graph, clips: jax.ShapeDtypeStruct) -> Any:
    """Return a function that evaluates the graph's operations one by one, with its weights as constants."""
    with platforms.restricted_to(), _without_pads():
        program = jax.make_jaxpr(lambda clips: tuple(graph.call(graph.weights, clips).values()))(clips)
    return jax.extend.core.jaxpr_as_fun(program)


@contextlib.contextmanager
def _without_pads() -> Generator[None]:
    """Trace `jax.lax.pad` as slices and concatenations; jax2onnx 0.17 cannot pad a batch of symbolic size."""
    pad = jax.lax.pad
    jax.lax.pad = _pad  # ty: ignore[invalid-assignment]
    try:
        yield
    finally:
        jax.lax.pad = pad


def _pad(operand: Array, padding_value: Array, padding_config: Sequence[tuple[int, int, int]]) -> Array:
    """`jax.lax.pad` without padding between elements; negative padding crops."""
    x = operand
    for axis, (low, high, between) in enumerate(padding_config):
        if between:
            raise NotImplementedError("it pads between elements")  # part of the sentence that the caller raises
        x = jax.lax.slice_in_dim(x, max(-low, 0), x.shape[axis] - max(-high, 0), axis=axis)
        before, after = (
            [jnp.full((*x.shape[:axis], count, *x.shape[axis + 1 :]), padding_value, x.dtype)] if count > 0 else []
            for count in (low, high)
        )
        x = jnp.concatenate([*before, x, *after], axis)
    return x
