"""The tab with the answers of two models side by side."""

from __future__ import annotations

import time

import gradio as gr

from vidjax.demo import parts
from vidjax.demo.models import Classifier
from vidjax.demo.site import Site, Step
from vidjax.demo.uploads import Tell, Upload
from vidjax.demo.verdict import verdict


class CompareTab:
    """The answers of any two classifiers of a page."""

    NAME = "Compare"

    def __init__(self, site: Site, classifiers: tuple[Classifier, ...]):
        """Lay out the tab."""
        self._site, self._classifiers = site, {model.name: model for model in classifiers}
        names = list(self._classifiers)
        with gr.Tab(self.NAME) as self._tab:
            self._verdict = gr.HTML(elem_id="vj-verdict", min_height=40)
            with gr.Row():
                with gr.Column(min_width=220):
                    self._one = gr.Dropdown(names, value=names[0], label="one", elem_id="vj-one")
                    self._of_one = gr.HTML(elem_id="vj-of-one")
                with gr.Column(min_width=220):
                    self._other = gr.Dropdown(names, value=names[1], label="other", elem_id="vj-other")
                    self._of_other = gr.HTML(elem_id="vj-of-other")

    def connect(self) -> None:
        """Register the drawing of the tab, repeated when another model is chosen."""
        controls = [self._one, self._other]
        step = Step(self._draw, [self._verdict, self._of_one, self._of_other], controls)
        self._site.draws(self._tab, self.NAME, [step], [control.change for control in controls])

    def _draw(self, upload: Upload, tell: Tell, one: str, other: str) -> tuple[str, str, str]:
        answers, shown = [], []
        models = self._classifiers[one], self._classifiers[other]
        for model in models:
            model.answer(upload, tell)  # so that compilation is not timed
            since = time.monotonic()
            found, remarks = model.answer(upload, tell)
            took = f"{1000 * (time.monotonic() - since):.0f} ms, including reading the video."
            answers.append(found)
            is_classes = "top" in found
            shown.append(
                (parts.bars(found["top"]) if is_classes else parts.numbers(found["values"]))
                + parts.notes([*remarks, took])
            )
        return parts.notes([verdict(models, (answers[0], answers[1]))]), *shown
