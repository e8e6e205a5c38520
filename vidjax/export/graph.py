"""The graph of an exported model: uint8 frames in, the answer of `Pretrained.predict` for one view out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from vidjax.errors import WeightsError
from vidjax.evaluation.merge_views import ACTIVATIONS
from vidjax.evaluation.multiview import Scoring
from vidjax.objectives import ActionRecognition
from vidjax.ops.patches import CHANNELS
from vidjax.weights import Pretrained
from vidjax.weights.preprocessing import OUTPUTS
from vidjax.weights.rules import flatten, nest

Outputs = dict[str, Float[Array, "b classes"]]


@dataclasses.dataclass(frozen=True)
class Graph:
    """A function to trace and its weights.

    Attributes:
      call: takes `weights` and uint8 RGB clips (b t h w c); returns `outputs`.
      weights: float32 arrays by path.
      clip_shape: (t, h, w, c).
      outputs: output names, each array (b classes): `probabilities` and `logits` of classes, or of nouns followed by
        verbs; `values` for a regression.
    """

    call: Callable[[dict[str, Any], UInt8[Array, "b t h w c"]], Outputs]
    weights: dict[str, np.ndarray]
    clip_shape: tuple[int, int, int, int]
    outputs: tuple[str, ...]

    @classmethod
    def of(cls, model: Pretrained, **spec: str | None) -> Graph:
        """Build the graph of a model that predicts classes, actions or numbers.

        Args:
          spec: fields of the model's spec to override; fields that the model lacks are ignored. By default, tracing
            chooses the implementations of the ops.

        Raises:
          WeightsError: for any other model.
        """
        answer, objective = model.answer, model.objective
        if answer is None or answer.kind not in OUTPUTS or not isinstance(objective, Scoring):
            raise WeightsError(
                f"{model.source} holds a {model.family} that predicts neither classes nor numbers; export a fine-tuned "
                "classifier or a regression model"
            )
        objective = _with_spec(objective, {"attention": None, "scan": None} | spec)
        show = _show(objective, answer.activation)
        swap = model.clips.channels == "bgr"

        def call(weights: dict[str, Any], clips: UInt8[Array, "b t h w c"]) -> Outputs:
            params = nest(weights)

            def of_clip(clip):
                return objective.scores(params, (clip[..., ::-1] if swap else clip)[None])[0]

            # Under vmap the model sees one clip of static shape, so values computed from shapes stay Python numbers.
            return show(jax.vmap(of_clip)(clips))

        weights = {path: np.asarray(leaf) for path, leaf in flatten(model.params).items()}
        return cls(call, weights, (model.clips.num_frames, *model.clips.frame_size, CHANNELS), OUTPUTS[answer.kind])


def _with_spec(objective: Any, changes: dict[str, str | None]) -> Any:
    """Return the objective with changed spec fields; implementations named in a spec may run on one platform only."""
    module = objective.module
    names = {field.name for field in dataclasses.fields(module.spec)}
    takes_attention = "attention" in names and "scan" not in names  # a model with a scan rejects `attention`
    changes = {
        name: value for name, value in changes.items() if name in names and (name != "attention" or takes_attention)
    }
    return objective.with_module(module.clone(spec=dataclasses.replace(module.spec, **changes)))


def _show(objective: Any, activation: str) -> Callable[[Float[Array, "b classes"]], Outputs]:
    if activation not in ("softmax", "sigmoid"):
        return lambda values: {"values": values}
    cuts = [objective.nouns] if isinstance(objective, ActionRecognition) else []

    def show(logits: Float[Array, "b classes"]) -> Outputs:
        parts = [ACTIVATIONS[activation](part) for part in jnp.split(logits.astype(jnp.float32), cuts, axis=1)]
        return {"probabilities": jnp.concatenate(parts, axis=1), "logits": logits}

    return show
