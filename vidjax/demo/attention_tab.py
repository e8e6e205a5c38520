"""The tab that shows where a model looks: its attention over the frames, by layer and head."""

from __future__ import annotations

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
_RATE = 6.0  # frames a second of the moving pictures
_SIDE = 160  # pixels: small frames are enlarged to about this, so that maps over them are smooth


class AttentionTab:
    """The attention of one model of a page.

    Attributes:
      sizes: how many layers and heads each kind of its maps has.
    """

    NAME = "Attention"

    def __init__(self, site: Site, model: Served, sizes: dict[str, tuple[int, int]]):
        """Lay it out."""
        self._site, self._model = site, model
        layers, heads = (max(size) for size in zip(*sizes.values(), strict=True))
        kinds = [*sizes, _ROLLOUT]
        with gr.Tab(self.NAME) as self._tab:
            with gr.Row():
                self._kind = gr.Dropdown(kinds, value=kinds[0], label="map", elem_id="vj-kind", scale=2)
                self._layer = gr.Slider(1, layers, value=layers, step=1, label="layer", elem_id="vj-layer", scale=3)
                choices = [_ALL, *map(str, range(1, heads + 1))]
                self._head = gr.Dropdown(choices, value=_ALL, label="head", elem_id="vj-head", scale=2)
            self._pictures = gr.HTML(elem_id="vj-attention", min_height=120)

    def connect(self) -> None:
        """Have it drawn, and again at every move of a control."""
        controls = [self._kind, self._layer, self._head]
        step = Step(self._draw, [self._pictures], controls)
        self._site.draws(self._tab, self.NAME, [step], [control.change for control in controls])

    def _draw(self, upload: Upload, tell: Tell, kind: str, layer: int, head: str) -> str:
        clip, maps = self._model.attention(upload, tell)
        shown, words = _choose(maps, kind, int(layer), head)
        factor = max(1, round(_SIDE / min(clip.shape[1:3])))
        large = clip.repeat(factor, axis=1).repeat(factor, axis=2)
        laid = (overlay(large, shown) * 255).round().astype(np.uint8)
        return (
            parts.moving({"the clip": clip, words: laid}, _RATE)
            + parts.strip(laid, upload.seconds(self._model.model.clips))
            + f'<p class="vj-small">{parts.text(CAPTION)}</p>'
        )


def _choose(maps: AttentionMaps, kind: str, layer: int, head: str) -> tuple[Float[np.ndarray, "t h w"], str]:
    """A map, and what it is called; a kind that has fewer layers or heads gives its last."""
    if kind == _ROLLOUT:
        return maps.rollout, _ROLLOUT
    of_kind = maps.layers[kind]
    layer = min(layer, len(of_kind))
    of_layer, words = of_kind[layer - 1], f"{kind}, layer {layer}"
    if head == _ALL:
        return of_layer.mean(axis=0), f"{words}, mean of {len(of_layer)} heads"
    number = min(int(head), len(of_layer))
    return of_layer[number - 1], f"{words}, head {number}"
