"""The tab where a visitor names classes in words, for a model with a text tower."""

from __future__ import annotations

import gradio as gr

from vidjax.demo import parts, timeline
from vidjax.demo.models import Classifier, Reader, as_shown
from vidjax.demo.site import Site, Step
from vidjax.demo.uploads import Tell, Upload
from vidjax.errors import ConfigError

_HINT = "Name at least two classes, one per line, and press the button."
_FRAMES = 16  # input frames shown


class WordsTab:
    """The answers of the page's first model with a text tower."""

    NAME = "Classes"

    def __init__(self, site: Site, readers: tuple[Reader, ...]):
        """Lay out the tab."""
        self._site, self._reader = site, readers[0]
        with gr.Tab(self.NAME) as self._tab:
            self._words = gr.Textbox(
                label="classes, one per line", lines=4, placeholder="riding a bike\ncooking", elem_id="vj-classes"
            )
            self._ask = gr.Button("Which of these is it?", elem_id="vj-ask")
            self._answer = gr.HTML(parts.notes([_HINT]), elem_id="vj-words", min_height=60)
            self._frames = gr.HTML(elem_id="vj-words-frames")

    def connect(self) -> None:
        """Register the drawing of the tab, repeated when the visitor asks."""
        steps = [
            Step(self._draw_answer, [self._answer], [self._words]),
            Step(self._draw_timeline, [self._site.timeline], [self._words]),
            Step(self._draw_frames, [self._frames]),
        ]
        self._site.draws(self._tab, self.NAME, steps, [self._ask.click])

    def _draw_answer(self, upload: Upload, tell: Tell, words: str) -> str:
        if not words.strip():
            return parts.notes([_HINT])
        try:
            classifier = self._reader.classifier(words)
        except ConfigError as error:
            return parts.notes([f"{error}."], "error")
        found, remarks = classifier.answer(upload, tell)
        return parts.bars(found["top"]) + parts.notes(remarks)

    def _draw_timeline(self, upload: Upload, tell: Tell, words: str) -> str:
        if (classifier := self._classifier(words)) is None:
            return ""
        windows = classifier.windows(upload, tell)
        if not windows:
            return ""
        return timeline.draw(windows, upload.info) + parts.notes(filter(None, [timeline.gaps(windows, upload.info)]))

    def _draw_frames(self, upload: Upload, tell: Tell) -> str:
        recipe = self._reader.model.clips
        frames, seconds = upload.seen(recipe, _FRAMES)
        return f"<h3>What the model saw</h3>{parts.strip(as_shown(frames, recipe), seconds)}"

    def _classifier(self, words: str) -> Classifier | None:
        """Return the classifier of some words; None if there are none, or for an error, which `_draw_answer` shows."""
        try:
            return self._reader.classifier(words) if words.strip() else None
        except ConfigError:
            return None
