"""The tab with the answer: the best classes, the frames that the model saw, and a timeline under the player."""

from __future__ import annotations

import gradio as gr

from vidjax.demo import parts, timeline
from vidjax.demo.models import Models, as_shown
from vidjax.demo.site import Site, Step
from vidjax.demo.uploads import Tell, Upload

_FRAMES = 16  # input frames shown


class AnswerTab:
    """The answers of the page's first classifier and first captioner."""

    NAME = "Answer"

    def __init__(self, site: Site, models: Models):
        """Lay out the tab."""
        self._site, self._classifiers, self._captioners = site, models.classifiers, models.captioners
        with gr.Tab(self.NAME) as self._tab:
            self._answer = gr.HTML(elem_id="vj-answer", min_height=60, visible=bool(models.classifiers))
            self._caption = gr.HTML(elem_id="vj-caption", min_height=40, visible=bool(models.captioners))
            self._frames = gr.HTML(elem_id="vj-frames")

    def connect(self) -> None:
        """Register the drawing of the tab."""
        steps = [Step(self._draw_frames, [self._frames])]
        if self._classifiers:
            steps += [Step(self._draw_answer, [self._answer]), Step(self._draw_timeline, [self._site.timeline])]
        if self._captioners:
            steps.append(Step(self._draw_caption, [self._caption]))
        self._site.draws(self._tab, self.NAME, steps)

    def _draw_frames(self, upload: Upload, tell: Tell) -> str:
        recipe = (self._classifiers or self._captioners)[0].model.clips
        frames, seconds = upload.seen(recipe, _FRAMES)
        taken = recipe.num_frames * (1 if recipe.windows else recipe.clips)
        count = f"{len(frames)} of {taken}" if len(frames) < taken else f"{taken}"
        height, width = recipe.frame_size
        return (
            f"<h3>What the model saw</h3>{parts.strip(as_shown(frames, recipe), seconds)}"
            f'<p class="vj-small">{count} frames of {height} x {width} pixels, as the model receives them.</p>'
        )

    def _draw_answer(self, upload: Upload, tell: Tell) -> str:
        found, remarks = self._classifiers[0].answer(upload, tell)
        shown = parts.numbers(found["values"]) if "values" in found else parts.bars(found["top"])
        if len(self._classifiers) > 1:
            shown = f'<p class="vj-small">{parts.text(self._classifiers[0].name)} answers:</p>{shown}'
        return shown + parts.notes([*remarks, *filter(None, [self._classifiers[0].record])])

    def _draw_timeline(self, upload: Upload, tell: Tell) -> str:
        windows = self._classifiers[0].windows(upload, tell)
        if not windows:
            return ""
        return timeline.draw(windows, upload.info) + parts.notes(filter(None, [timeline.gaps(windows, upload.info)]))

    def _draw_caption(self, upload: Upload, tell: Tell) -> str:
        caption, remarks = self._captioners[0].caption(upload, tell)
        return f"<blockquote>{parts.text(caption)}</blockquote>{parts.notes(remarks)}"
