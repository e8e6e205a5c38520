"""The tab that shows where a model looks: attention maps over the frames, by layer and head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
import numpy as np
from jaxtyping import Float

from vidjax.demo import parts
from vidjax.demo.models import Served
from vidjax.demo.site import Site, Step
from vidjax.demo.uploads import Tell, Upload
from vidjax.evaluation.attention import AttentionMaps
from vidjax.viz.attention import CAPTION, overlay

_ROLLOUT, _ALL = "roll-out through all layers", "mean of all"
_RATE = 6.0  # frames per second of the animations
_SIDE = 160  # pixels: small frames are enlarged to about this size, so that the maps look smooth


class AttentionTab:
    """Attention maps of any model of the page that provides them."""

    NAME = "Attention"

    def __init__(self, site: Site, models: Sequence[Served]):
        """Lay out the tab for at least one model."""
        self._site, self._models = site, {model.name: model for model in models}
        names = list(self._models)
        kind, layer, head = _controls(models[0])
        with gr.Tab(self.NAME) as self._tab:
            self._model = gr.Dropdown(
                names, value=names[0], label="model", elem_id="vj-looking", visible=len(names) > 1
            )
            with gr.Row():
                self._kind = gr.Dropdown(**kind, label="map", elem_id="vj-kind", scale=2)
                self._layer = gr.Slider(1, **layer, step=1, label="layer", elem_id="vj-layer", scale=3)
                self._head = gr.Dropdown(**head, label="head", elem_id="vj-head", scale=2)
            self._pictures = gr.HTML(elem_id="vj-attention", min_height=120)

    def connect(self) -> None:
        """Register the drawing of the tab, repeated whenever a control changes."""
        controls = [self._kind, self._layer, self._head]
        offered = self._model.change(
            lambda name: tuple(gr.update(**options) for options in _controls(self._models[name])),
            self._model,
            controls,
            show_progress="hidden",
            api_visibility="private",
        )
        step = Step(self._draw, [self._pictures], [self._model, *controls])
        self._site.draws(self._tab, self.NAME, [step], [offered.then, *(control.change for control in controls)])

    def _draw(self, upload: Upload, tell: Tell, name: str, kind: str, layer: int, head: str) -> str:
        model = self._models[name]
        clip, maps = model.attention(upload, tell)
        shown, words = _choose(maps, kind, int(layer), head)
        factor = max(1, round(_SIDE / min(clip.shape[1:3])))
        large = clip.repeat(factor, axis=1).repeat(factor, axis=2)
        laid = (overlay(large, shown) * 255).round().astype(np.uint8)
        return (
            parts.moving({"the clip": clip, words: laid}, _RATE)
            + parts.strip(laid, upload.seconds(model.model.clips))
            + f'<p class="vj-small">{parts.text(CAPTION)}</p>'
        )


def _controls(model: Served) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the choices of a model and their initial values: kinds of map, layers, heads."""
    sizes = model.attention_sizes()
    layers, heads = (max(size) for size in zip(*sizes.values(), strict=True))
    kinds, numbers = [*sizes, _ROLLOUT], [_ALL, *map(str, range(1, heads + 1))]
    return (
        {"choices": kinds, "value": kinds[0]},
        {"maximum": layers, "value": layers},
        {"choices": numbers, "value": _ALL},
    )


def _choose(maps: AttentionMaps, kind: str, layer: int, head: str) -> tuple[Float[np.ndarray, "t h w"], str]:
    """Return a map and its title; a kind with fewer layers or heads gives its last."""
    if kind == _ROLLOUT:
        return maps.rollout, _ROLLOUT
    of_kind = maps.layers[kind]
    layer = min(layer, len(of_kind))
    of_layer, words = of_kind[layer - 1], f"{kind}, layer {layer}"
    if head == _ALL:
        return of_layer.mean(axis=0), f"{words}, mean of {len(of_layer)} heads"
    number = min(int(head), len(of_layer))
    return of_layer[number - 1], f"{words}, head {number}"
