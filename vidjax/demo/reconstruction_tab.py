"""The tab where a masked autoencoder reconstructs masked patches, with a slider for the mask ratio."""

from __future__ import annotations

import gradio as gr
import numpy as np

from vidjax.demo import parts
from vidjax.demo.models import Autoencoder
from vidjax.demo.site import Site, Step
from vidjax.demo.uploads import Tell, Upload
from vidjax.ops.masking import MASKS
from vidjax.viz.reconstruction import NORMALIZED, PLAIN, error_map

_RATE = 6.0  # frames per second of the animations
_STILLS = 8  # frames of a clip also shown side by side
_NAMES = {"input": "the clip", "masked": "what the model sees", "reconstructed": "what it reconstructs"}
_ERROR = "the error of the reconstruction"
_MASKS = {"tube": "tubes", "random": "random cubes", "frame": "whole frames"}


class ReconstructionTab:
    """The reconstructions of any autoencoder of the page."""

    NAME = "Reconstruction"

    def __init__(self, site: Site, autoencoders: tuple[Autoencoder, ...]):
        """Lay out the tab."""
        self._site, self._autoencoders = site, {model.name: model for model in autoencoders}
        names, trained = list(self._autoencoders), autoencoders[0].objective
        masks = [(_MASKS[name], name) for name in MASKS]
        with gr.Tab(self.NAME) as self._tab:
            self._model = gr.Dropdown(names, value=names[0], label="model", elem_id="vj-hiding", visible=len(names) > 1)
            with gr.Row():
                self._ratio = gr.Slider(
                    0.05,
                    0.95,
                    value=trained.mask_ratio,
                    step=0.05,
                    label="hidden share",
                    elem_id="vj-ratio",
                    scale=3,
                    min_width=200,
                )
                self._mask = gr.Dropdown(
                    masks, value=trained.mask, label="mask", elem_id="vj-mask", scale=2, min_width=150
                )
                self._seed = gr.Number(0, label="seed", precision=0, elem_id="vj-seed", scale=1, min_width=70)
            self._pictures = gr.HTML(elem_id="vj-pictures", min_height=120)

    def connect(self) -> None:
        """Register the drawing of the tab, repeated whenever a control changes."""
        controls = [self._ratio, self._mask, self._seed]
        offered = self._model.change(
            self._trained_with, self._model, controls[:2], show_progress="hidden", api_visibility="private"
        )
        step = Step(self._draw, [self._pictures], [self._model, *controls])
        self._site.draws(self._tab, self.NAME, [step], [offered.then, *(control.change for control in controls)])

    def _trained_with(self, name: str) -> tuple[float, str]:
        """Return the mask ratio and the mask of a model's training."""
        objective = self._autoencoders[name].objective
        return objective.mask_ratio, objective.mask

    def _draw(self, upload: Upload, tell: Tell, name: str, ratio: float, mask: str, seed: float | None) -> str:
        autoencoder = self._autoencoders[name]
        objective = autoencoder.hiding(mask, ratio)
        found = autoencoder.reconstruct(upload, objective, int(seed or 0) % 2**31, tell)
        colours, most = error_map(found["input"][None], found["reconstructed"][None])
        clips = {_NAMES[part]: clip for part, clip in found.items()} | {_ERROR: colours[0]}
        pixels = {part: (clip.clip(0, 1) * 255).round().astype(np.uint8) for part, clip in clips.items()}
        tokens, error = autoencoder.model.spec.num_tokens, np.abs(found["reconstructed"] - found["input"])
        hidden = objective.num_masked
        facts = (
            f"{hidden} of {tokens} cubes are hidden ({hidden / tokens:.1%}). Their pixels, from 0 to 1, are off by "
            f"{error.mean() * tokens / hidden:.3f} on average; the brightest error colour means {most:.2f} or more."
        )
        seconds = upload.seconds(autoencoder.model.clips)
        few = slice(None, None, -(-len(seconds) // _STILLS))
        strips = (parts.strip(pixels[_NAMES[part]][few], seconds[few]) for part in ("masked", "reconstructed"))
        return (
            parts.moving(pixels, _RATE)
            + "".join(strips)
            + parts.notes([facts])
            + f'<p class="vj-small">{NORMALIZED if objective.normalize_target else PLAIN}</p>'
        )
